"""Optuna: which trial starts next, and which is pruned."""
