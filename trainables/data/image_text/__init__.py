"""Images with captions or with class prompts: COCO, Flickr, Food-101, ImageNet, emoji."""
