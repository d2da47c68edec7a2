"""A process keeps the memory that it has freed, for the next batch or the next message.

By default the C library gives large blocks back to the system at once and gets them anew, page by
page: at each step of training, some hundred thousand pages a round; of a message of 5 MB, 20 ms of
a node's processor time.
"""

from __future__ import annotations

import ctypes

TRIM_THRESHOLD, TOP_PAD, MMAP_THRESHOLD, ARENA_MAX = -1, -2, -3, -8
"""Numbers of the settings of `mallopt`, as in glibc's malloc.h."""

NEVER = 2**31 - 1
LARGEST = (2**30, 2**25)
"""Blocks up to this size are kept, in bytes; glibc before 2.35 takes only the second."""
AHEAD = 2**26
FOR_MESSAGES = 2**29
"""What a process keeps that only passes messages on: the largest of them several times over."""


def keep_freed_memory(most: int = NEVER) -> bool:
    """Set this process up; say whether it was done. Where the C library is another, it is not.

    Parameters
    ----------
    most
        Bytes that are kept at the end of what was in use; what is beyond is given back.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    # Questions are computed in changing threads, and each would keep its own.
    settings = ((ARENA_MAX, 1), (TRIM_THRESHOLD, most), (TOP_PAD, AHEAD))
    done = [mallopt(what, value) for what, value in settings]
    return all(done) and any(mallopt(MMAP_THRESHOLD, size) for size in LARGEST)
