"""What a run looks like from outside: a page, a terminal and metrics over one snapshot of it."""
