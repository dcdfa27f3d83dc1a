"""The paper's figures from real data, with the numbers behind every picture: ``ssavae reproduce``."""
