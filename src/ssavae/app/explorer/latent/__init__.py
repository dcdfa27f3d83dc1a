"""Neighbours and variations of items in the latent space."""
