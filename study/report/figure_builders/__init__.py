"""The builders of the figures: each selects the numbers of one figure from groups and store."""
