"""Locks that the system releases when their process ends, however it ends."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOOK_SECONDS = 0.05


class Taken(Exception):
    """Another process holds the lock."""


@contextmanager
def locked(path: Path, patience: float = 0.0) -> Iterator[None]:
    """Hold the lock of that path, waiting up to `patience` seconds for it.

    Raises
    ------
    Taken
        Another process still holds it.
    """
    until = time.monotonic() + patience
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= until:
                    raise Taken(str(path)) from None
                time.sleep(LOOK_SECONDS)
        yield
    finally:
        os.close(handle)


def is_locked(path: Path) -> bool:
    """Say whether a process holds the lock now."""
    if not path.exists():
        return False
    try:
        with locked(path):
            return False
    except Taken:
        return True
