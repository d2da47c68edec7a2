"""Differential privacy of one patient: noise, accounting and the budget of a site."""
