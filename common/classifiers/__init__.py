"""The classifiers of the comparison: what a site sums for each, and how the server fits it."""
