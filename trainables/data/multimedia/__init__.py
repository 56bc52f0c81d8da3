"""Audio, video and text: RAVDESS, MM-IMDB, VGG-Sound, CMU-MOSEI."""
