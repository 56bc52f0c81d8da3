"""Captioned and classified images: COCO, Flickr, Food-101, ImageNet, emoji."""
