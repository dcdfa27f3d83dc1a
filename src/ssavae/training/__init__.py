"""Training of the three parts: the loop, batches, augmentations, several processes."""
