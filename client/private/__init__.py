"""Training with differential privacy of one patient. Imports torch: import it inside stages."""
