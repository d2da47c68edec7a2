"""Sums of which nobody learns the terms: fixed point, and masks that cancel."""
