"""Which questions ask for almost the same sums: the rounds of one stage, step and fold."""

from __future__ import annotations


def scope_of(exchange: str) -> str:
    """Name the scope of a question: its place in the run without its round.

    All trials of a search are one: they are like each other, and the patients are the same.

    >>> scope_of("train.0.7"), scope_of("fuse.heads.3"), scope_of("calibrate")
    ('train.0', 'fuse.heads', 'calibrate')
    >>> scope_of("search.train.2.14.3"), scope_of("search.measure.2.14.9")
    ('search', 'search')
    """
    if exchange.startswith("search."):
        return "search"
    before, _, last = exchange.rpartition(".")
    return before if before and last.isdigit() else exchange
