"""What Flower's database does at each request and need not.

At each request it looks for tasks whose process gives no sign of life any more, by two statements
that may write: 1.2 ms of processor time. A task has a minute to give one, so to look once a second
is as good. And it adds up the bytes of a run's messages (0.4 ms), of which the run's events tell
more.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from typing import Any

from common.flower_source import changed

LOOK_SECONDS = 1.0
_DONE = "_myofed_looked_at"

_CORE = "flwr.supercore.corestate.sql_corestate"
_LINK = "flwr.server.superlink.linkstate.sql_linkstate"
READ = {f"{_CORE}:SqlCoreState": "9d59d36459e0", f"{_LINK}:SqlLinkState": "c443c072450e"}
"""Whose methods are replaced, and the hash of the source of each as it was read."""


def look_seldom() -> bool:
    """Replace both in this process; say whether this was done.

    It is not done to another Flower than the one whose source was read.
    """
    if changed(READ):
        return False
    core: Any = importlib.import_module(_CORE).SqlCoreState
    link: Any = importlib.import_module(_LINK).SqlLinkState
    look = core._cleanup_expired_task_tokens
    core._cleanup_expired_task_tokens = at_most_each(LOOK_SECONDS, look)
    link.store_traffic = _store_no_traffic
    return True


def at_most_each(
    seconds: float, method: Callable[[Any], None], clock: Callable[[], float] = time.monotonic
) -> Callable[[Any], None]:
    """Let a method do nothing for so many seconds after it has done its work for an object."""

    def seldom(self: Any) -> None:
        now = clock()
        if now - getattr(self, _DONE, float("-inf")) >= seconds:
            method(self)
            setattr(self, _DONE, now)

    return seldom


def _store_no_traffic(self: Any, run_id: int, bytes_sent: int, bytes_recv: int) -> None:
    """Leave the sums of a run's bytes at 0."""
