"""Domains, spaces and ready-made studies. Knows nothing of `trainables` and `study`."""
