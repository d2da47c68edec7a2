"""`myofed site doctor`: what can be wrong between a site and its coordinator, and how to fix it."""
