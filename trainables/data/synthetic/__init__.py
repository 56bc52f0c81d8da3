"""Generated data sets of the three papers."""
