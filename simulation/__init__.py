"""A whole federation on one machine, by Flower's simulation engine."""
