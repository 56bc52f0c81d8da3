"""Contrastive image-text networks with two towers."""
