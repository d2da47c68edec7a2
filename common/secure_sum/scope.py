"""Which questions ask for almost the same sums: the rounds of one stage, step and fold."""

from __future__ import annotations


def scope_of(exchange: str) -> str:
    """Name the scope of a question: its place in the run without its round.

    >>> scope_of("train.0.7"), scope_of("fuse.heads.3"), scope_of("calibrate")
    ('train.0', 'fuse.heads', 'calibrate')
    """
    before, _, last = exchange.rpartition(".")
    return before if before and last.isdigit() else exchange
