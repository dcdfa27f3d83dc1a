"""Explanations of single rows, and monitoring over time."""
