"""The report of a study: written from the store alone."""
