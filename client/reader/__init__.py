"""For the person who reads one patient: its folder, its score, how unusual it is, and a page."""
