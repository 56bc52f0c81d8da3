"""What the terminal shows during a run, and the log file that takes the rest."""
