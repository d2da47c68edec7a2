"""Everything that touches patients. Runs at a hospital."""
