"""Reading the ledger, also while the worker writes: the lines that were whole at one moment."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from client.egress.head import HEAD_FILE
from client.egress.ledger import FOLDER, LEDGER_FILE
from client.egress.line import Line, read
from common.errors import WrongUse

_TRIES = 100


@dataclass(frozen=True)
class Snapshot:
    """The ledger at one moment: the head as it lay there, if there was one, and `size` bytes."""

    path: Path
    head: bytes | None
    size: int

    @property
    def is_empty(self) -> bool:
        """Whether nothing was recorded yet: there is neither a line nor a head."""
        return self.head is None and not self.size

    def raw_lines(self) -> Iterator[bytes]:
        """Give the lines with their ends; the last has none if it was not written to its end."""
        if not self.size:
            return
        left = self.size
        with self.path.open("rb") as file:
            while left > 0 and (raw := file.readline(left)):
                left -= len(raw)
                yield raw


def snapshot(site: Path) -> Snapshot:
    """Look at the ledger of a site (its folder).

    The head is read before and after the size is taken, until nobody wrote in between.

    Raises
    ------
    WrongUse
        It cannot be read by this account.
    """
    folder = site / FOLDER
    path = folder / LEDGER_FILE
    try:
        before = _head(folder)
        for _ in range(_TRIES):
            size = path.stat().st_size if path.exists() else 0
            after = _head(folder)
            if after == before:
                break
            before = after
        return Snapshot(path, before, size)
    except OSError as error:
        raise WrongUse(
            f"The ledger in {folder} cannot be read ({error.strerror}).",
            "Read it with the account that the site's worker runs under.",
        ) from None


def lines_of(site: Path, run: str = "") -> Iterator[Line]:
    """Give the lines that can be read, of one run or of all; `verify` says whether all can.

    Raises
    ------
    WrongUse
        There is no ledger, or it cannot be read by this account.
    """
    found = snapshot(site)
    if found.is_empty:
        raise WrongUse(
            f"There is no ledger in {site}.",
            "Name the site's folder. The ledger begins with the first approval or answer.",
        )
    for raw in found.raw_lines():
        line = read(raw.rstrip(b"\n"))
        if line is not None and (not run or line.run == run):
            yield line


def _head(folder: Path) -> bytes | None:
    try:
        return (folder / HEAD_FILE).read_bytes()
    except FileNotFoundError:
        return None
