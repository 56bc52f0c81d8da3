"""Image-text networks with two towers."""
