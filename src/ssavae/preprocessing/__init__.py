"""Rows that a user hands in, and the network inputs made of them."""
