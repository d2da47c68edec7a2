"""The last whole line of a file, without reading the file."""

from __future__ import annotations

import os
from dataclasses import dataclass

BLOCK = 2**16


@dataclass(frozen=True)
class Tail:
    """The last whole line, without its end; `end` is where the whole lines end, in bytes.

    `is_torn` says whether something stands behind them: a line that was not written to its end.
    """

    last: bytes
    end: int
    is_torn: bool


def read_tail(handle: int) -> Tail:
    """Read the end of an open file of lines, as far back as the last whole line begins."""
    size = os.fstat(handle).st_size
    start, held, stop = size, b"", -1
    while start > 0:
        begin = max(0, start - BLOCK)
        held = os.pread(handle, start - begin, begin) + held
        start = begin
        stop = held.rfind(b"\n")
        before = held.rfind(b"\n", 0, max(stop, 0))
        if before >= 0:
            return Tail(held[before + 1 : stop], start + stop + 1, stop + 1 < len(held))
    return Tail(held[: max(stop, 0)], stop + 1, stop + 1 < size)
