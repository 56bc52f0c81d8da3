"""Data sets that are generated: one for each of the three papers."""
