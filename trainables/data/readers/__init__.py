"""Readers of media files: audio, video, images, pickles, and their preparation in parallel."""
