"""The ledger: one line for each thing that leaves the site, written before it leaves.

A line is on the disk before the answer is handed out. If it cannot be written, nothing leaves; so a
line may stand for an answer that was held back in the last moment, but nothing leaves without one.
The head is replaced after the line; a worker that dies in between, or in the middle of a line,
leaves a trace that the next record recognises and repairs. A ledger whose end was changed takes no
further line: going on would cover the traces.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from client.egress.entry import Entry
from client.egress.head import HEAD_FILE, Head, read_head
from client.egress.line import GENESIS, Line, is_signed, read, sealed
from client.egress.tail import Tail, read_tail
from common.errors import MyoFedError

FOLDER, LEDGER_FILE, LOCK_FILE = "ledger", "ledger.jsonl", "lock"

PATIENCE = 30.0
"""Seconds to wait while another process of the site writes."""
_LOOK = 0.01


class LedgerFailed(MyoFedError):
    """The record of what leaves could not be written; so nothing left."""

    code = "ledger-failed"
    public = "The site could not write its record of what leaves, so nothing left."


class LedgerDamaged(LedgerFailed):
    """The end of the ledger is not what the site wrote."""

    code = "ledger-damaged"
    public = "The site's record of what leaves is damaged, so nothing left."


@dataclass(frozen=True)
class Ledger:
    """A site's ledger, in the folder ``ledger`` of its own.

    Parameters
    ----------
    site
        The site's folder.
    identity
        The site's private identity key.
    """

    site: Path
    identity: Ed25519PrivateKey

    def record(self, entry: Entry) -> int:
        """Write an entry down, and give the number of its line; only then may the answer leave.

        Only the end of the ledger is read, so its length does not matter.

        Raises
        ------
        LedgerFailed
            It could not be written, for example because the disk is full.
        LedgerDamaged
            The end of the ledger was changed, or is of another key.
        """
        folder = self.site / FOLDER
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.chmod(0o700)
            with _locked(folder / LOCK_FILE), _opened(folder / LEDGER_FILE) as handle:
                last = self._whole(folder, handle)
                number, previous = (last.number, last.hash) if last else (0, GENESIS)
                line = sealed(entry, number + 1, previous, self.identity)
                _append(handle, line.written() + b"\n")
                Head.of(line.number, line.hash, self.identity).save(folder)
        except OSError as error:
            raise LedgerFailed(
                f"The ledger in {folder} could not be written ({error.strerror}); nothing left.",
                "Make room on the disk, and see that the folder belongs to the site's account.",
            ) from error
        return line.number

    def _whole(self, folder: Path, handle: int) -> Line | None:
        """See that the end is as it was left, repair what a crash left, and give the last line."""
        path, public = folder / HEAD_FILE, self.identity.public_key()
        tail = read_tail(handle)
        if not path.exists():
            if tail.end:
                raise _damaged(folder, "has lines and no head")
            Head.of(0, GENESIS, self.identity).save(folder)
        head = read_head(path.read_bytes(), public)
        if head is None:
            raise _damaged(folder, "has a head that this site did not sign")
        last = self._last(folder, tail)
        number, digest = (last.number, last.hash) if last else (0, GENESIS)
        is_behind = last is not None and (head.number, head.hash) == (number - 1, last.previous)
        if not is_behind and (head.number, head.hash) != (number, digest):
            raise _damaged(folder, f"ends with line {number}, and its head is of {head.number}")
        if tail.is_torn:
            os.ftruncate(handle, tail.end)
        if is_behind:
            Head.of(number, digest, self.identity).save(folder)
        return last

    def _last(self, folder: Path, tail: Tail) -> Line | None:
        if not tail.end:
            return None
        line = read(tail.last)
        if line is None or not is_signed(line, self.identity.public_key()):
            raise _damaged(folder, "has a last line that this site did not write")
        return line


def _damaged(folder: Path, what: str) -> LedgerDamaged:
    return LedgerDamaged(
        f"The ledger in {folder} {what}.",
        "Look with 'myofed site ledger verify'. Then move the folder away and keep it: it is "
        "evidence. A new ledger begins with the next answer.",
    )


def _append(handle: int, content: bytes) -> None:
    """Write at the end and wait for the disk; what could be written in part only is taken back."""
    before = os.fstat(handle).st_size
    try:
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(handle, rest) :]
        os.fsync(handle)
    except OSError:
        os.ftruncate(handle, before)
        raise


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.fchmod(handle, 0o600)
        yield handle
    finally:
        os.close(handle)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock of the ledger; the system releases it when the process ends, however it does.

    Raises
    ------
    LedgerFailed
        Another process holds it for too long.
    """
    until = time.monotonic() + PATIENCE
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= until:
                    raise LedgerFailed(
                        f"Another process writes to the ledger in {path.parent} and does not end.",
                        "Is the worker running twice? Stop one.",
                    ) from None
                time.sleep(_LOOK)
        yield
    finally:
        os.close(handle)
