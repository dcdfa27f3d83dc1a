"""What several readers of files share, and the readers of single formats."""
