"""Metrics of classification, generation, the latent map and fault detection."""
