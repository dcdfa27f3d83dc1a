"""The map and the pictures of a model in a notebook."""
