"""The site's worker: it holds the data and answers the questions of an approved study."""
