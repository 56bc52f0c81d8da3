"""Handwritten digits: digits, mfeat, MNIST-M."""
