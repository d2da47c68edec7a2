"""Sums of which nobody learns the terms: fixed point, and masks that cancel."""

FEWEST = 3
"""Of two sites, each would learn what the other says from the sum."""
