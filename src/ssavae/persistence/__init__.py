"""Model folders, training state and the Hugging Face hub."""
