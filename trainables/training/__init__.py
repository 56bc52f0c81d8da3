"""One training, or a pack of them: batches, epochs, checkpoints."""
