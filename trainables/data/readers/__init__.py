"""Readers of media files: audio, video, images, pickles."""
