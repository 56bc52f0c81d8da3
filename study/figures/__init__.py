"""Matplotlib figures: plain numbers in, a `Figure` out."""
