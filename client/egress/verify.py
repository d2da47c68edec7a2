"""Is the ledger what the site wrote? Finds any line that was edited, taken away, moved or put in.

Each line must be written as the ledger writes, have its own hash, bear the site's signature, and
hold the hash of the line before it; the numbers must run from 1 to that of the head. What cannot be
found: a ledger that was put back, head and all, as it was at an earlier time. Against that, keep an
export, or the number and hash of the head, elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from client.egress.head import Head, read_head
from client.egress.line import GENESIS, is_signed, read
from client.egress.order import longest_rise, stretches
from client.egress.reading import snapshot

HEAD = 0
"""In place of a line's number: the fault is in the head, or in the ledger as a whole."""

_BEHIND = (
    "The head does not yet know of line {}: the worker ended while it wrote. The next record puts "
    "it right."
)
_TORN = (
    "Behind the last line stands one that was not written to its end: the worker ended while it "
    "wrote, and nothing left. The next record takes it away."
)


@dataclass(frozen=True)
class Fault:
    """What is wrong with the line of that number; `code` groups faults of one kind."""

    line: int
    code: str
    found: str

    def __str__(self) -> str:
        return f"{'the head' if self.line == HEAD else f'line {self.line}'}: {self.found}"


@dataclass(frozen=True)
class Verification:
    """What was found: how many `lines` are as written, up to which head, the faults, and notes.

    A note is no fault: it says that the worker ended while it wrote.
    """

    lines: int
    head: Head | None
    faults: tuple[Fault, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Row:
    """A line at its place in the file; `trouble` is empty if the site wrote it."""

    place: int
    number: int
    hash: str
    previous: str
    trouble: str = ""


def verify(site: Path, public_key: bytes) -> list[Fault]:
    """List what is wrong with a site's ledger; nothing if it is as the site wrote it.

    Parameters
    ----------
    site
        The site's folder.
    public_key
        Of the site's identity (32 bytes).

    Raises
    ------
    WrongUse
        The ledger cannot be read by this account.
    """
    return list(examine(site, public_key).faults)


def examine(site: Path, public_key: bytes) -> Verification:
    """As `verify`, with the number of good lines, the head, and notes."""
    public = Ed25519PublicKey.from_public_bytes(public_key)
    found = snapshot(site)
    if found.is_empty:
        nothing = "there is no ledger: nothing was recorded yet, or all of it was taken away"
        return Verification(0, None, (Fault(HEAD, "no-ledger", nothing),), ())
    rows, is_torn = _rows(found.raw_lines(), public)
    head = read_head(found.head, public) if found.head is not None else None
    good = [row for row in rows if not row.trouble]
    if head is None and not good and (rows or found.head is not None):
        nothing = "nothing in the ledger is signed with this key: it is another site's, or forged"
        return Verification(0, None, (Fault(HEAD, "other-key", nothing),), ())
    rise = [good[place] for place in longest_rise([row.number for row in good])]
    last = rise[-1] if rise else _Row(0, 0, GENESIS, "")
    is_behind = head is not None and (head.number, head.hash) == (last.number - 1, last.previous)
    faults = [
        *_moved(good, rise),
        *_gaps(rows, good, rise, head),
        *_unchained(rise),
        *([] if is_behind else _head_faults(head, found.head is None, last)),
    ]
    notes = [_BEHIND.format(last.number)] * is_behind + [_TORN] * is_torn
    faults.sort(key=lambda fault: (fault.line, fault.code))
    return Verification(len(good), head, tuple(faults), () if faults else tuple(notes))


def _rows(raw_lines: Iterable[bytes], public: Ed25519PublicKey) -> tuple[list[_Row], bool]:
    """Read the lines; say too whether the last was not written to its end."""
    rows: list[_Row] = []
    for place, raw in enumerate(raw_lines, start=1):
        if not raw.endswith(b"\n"):
            return rows, True
        line = read(raw[:-1])
        if line is None:
            rows.append(_Row(place, 0, "", "", "edited"))
        else:
            trouble = "" if is_signed(line, public) else "forged"
            rows.append(_Row(place, line.number, line.hash, line.previous, trouble))
    return rows, False


def _moved(good: list[_Row], rise: list[_Row]) -> Iterator[Fault]:
    in_order = {row.number: row for row in rise}
    for row in good:
        stands = in_order.get(row.number)
        if stands is row:
            continue
        if stands is None:
            yield Fault(row.number, "reordered", f"it was moved to place {row.place} of the file")
        elif stands.hash == row.hash:
            yield Fault(row.number, "duplicated", f"it stands once more at place {row.place}")
        else:
            told = f"the site signed another line of this number, at place {row.place}"
            yield Fault(row.number, "inserted", told)


def _gaps(
    rows: list[_Row], good: list[_Row], rise: list[_Row], head: Head | None
) -> Iterator[Fault]:
    """Set bad lines against missing numbers: between two good lines, and behind the last."""
    held = {row.number for row in good}
    bounds = [(0, 0), *((row.place, row.number) for row in rise)]
    end = max(bounds[-1][1], head.number) if head else bounds[-1][1] + len(rows)
    bounds.append((len(rows) + 1, end + 1))
    for (place, number), (next_place, next_number) in pairwise(bounds):
        bad = [row for row in rows[place : next_place - 1] if row.trouble]
        missing = [one for one in range(number + 1, next_number) if one not in held]
        for row, one in zip(bad, missing, strict=False):
            yield Fault(one, row.trouble, _SAID[row.trouble])
        for row in bad[len(missing) :]:
            told = f"a line that the site did not write stands at place {row.place} of the file"
            yield Fault(number, "inserted", f"behind it {told}")
        if head is None and next_place > len(rows):
            return
        for first, final in stretches(missing[len(bad) :]):
            told = "it is gone" if first == final else f"it is gone, and all up to {final}"
            yield Fault(first, "removed", told)


_SAID = {
    "edited": "it is not as the site wrote it",
    "forged": "it does not bear the site's signature",
}


def _unchained(rise: list[_Row]) -> Iterator[Fault]:
    before = _Row(0, 0, GENESIS, "")
    for row in rise:
        if row.number == before.number + 1 and row.previous != before.hash:
            yield Fault(row.number, "unchained", "it does not follow the line before it")
        before = row


def _head_faults(head: Head | None, is_absent: bool, last: _Row) -> Iterator[Fault]:
    if head is None:
        told = "there is none" if is_absent else "it is damaged, or not signed with this key"
        yield Fault(HEAD, "no-head" if is_absent else "forged-head", told)
    elif head.number < last.number:
        told = f"it is an earlier one, of line {head.number}; the ledger goes to {last.number}"
        yield Fault(HEAD, "old-head", told)
    elif head.number == last.number and head.hash != last.hash:
        yield Fault(HEAD, "other-head", f"it is of another line {head.number}")
