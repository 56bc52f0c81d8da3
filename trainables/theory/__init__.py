"""Closed forms that simulations and studies are compared with."""
