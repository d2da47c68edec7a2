"""Find the line of a TOML key, so that a refused value can be pointed at.

`tomllib` keeps no positions. This follows table headers and plain keys, which is how people write
a protocol; inside an inline table it gives the line where that table begins.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_HEADER = re.compile(r"^\s*(\[{1,2})\s*([^\[\]]+?)\s*\]{1,2}\s*(?:#.*)?$")
_KEY = re.compile(r"^\s*([A-Za-z0-9_.\"'-]+)\s*=")


def line_of(text: str, location: Sequence[int | str]) -> int | None:
    """Give the line (from 1) of the longest part of `location` that the text holds.

    `location` is a path of keys and list positions, as pydantic reports them. None where not even
    its first key is found.
    """
    known = _positions(text)
    path = tuple(location)
    while path:
        if path in known:
            return known[path]
        path = path[:-1]
    return None


def _positions(text: str) -> dict[tuple[int | str, ...], int]:
    found: dict[tuple[int | str, ...], int] = {}
    counts: dict[tuple[int | str, ...], int] = {}
    table: tuple[int | str, ...] = ()
    for number, line in enumerate(text.splitlines(), start=1):
        header = _HEADER.match(line)
        if header:
            table = _resolve(_split(header[2]), counts)
            if header[1] == "[[":
                found.setdefault(table, number)
                counts[table] = counts.get(table, 0) + 1
                table = (*table, counts[table] - 1)
            found.setdefault(table, number)
            continue
        key = _KEY.match(line)
        if key:
            found.setdefault((*table, *_split(key[1])), number)
    return found


def _resolve(
    parts: tuple[str, ...], counts: dict[tuple[int | str, ...], int]
) -> tuple[int | str, ...]:
    """Put the number of the open element behind each array of tables, but the last part."""
    path: tuple[int | str, ...] = ()
    for place, part in enumerate(parts):
        path = (*path, part)
        if place < len(parts) - 1 and path in counts:
            path = (*path, counts[path] - 1)
    return path


def _split(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip().strip("\"'") for part in dotted.split("."))
