"""What every data set is made with: its config, raw files, corruption, tokens."""
