"""Phantoms: short-axis cine patients made from anatomy, tissue and scanner effects."""
