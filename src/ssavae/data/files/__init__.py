"""Readers of single file formats, and code that several of them share."""
