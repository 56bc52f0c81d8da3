"""What is measured once, after the training."""
