"""Everything that touches only sums. Runs at the coordinator."""
