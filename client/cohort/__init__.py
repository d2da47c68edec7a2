"""The cohort of a site: its table, its folder, its checks and the importers that make it."""
