"""What Flower's database does at each request and need not.

At each request it looks for tasks whose process gives no sign of life any more, by two statements
that may write: 1.2 ms of processor time. A task has a minute to give one, so to look once a second
is as good. And it adds up the bytes of a run's messages (0.4 ms), of which the run's events tell
more.

It also looks up three things at each request that stay the same for hours: which node has this key,
which task has this token, and whether the run still runs. A yes is good for a second; a no is asked
for again each time. Whom the coordinator dismisses, the guard turns away at once (`guard`).
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from typing import Any

from common.flower_source import changed

LOOK_SECONDS = 1.0
_DONE = "_myofed_looked_at"
_HEARD = "_myofed_heard"

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
    for kind, name, is_yes in (
        (link, "get_node_id_by_public_key", bool),
        (core, "get_task_by_token", bool),
        (link, "get_run_status", _all_run),
    ):
        setattr(kind, name, remembered(LOOK_SECONDS, getattr(kind, name), is_yes))
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


def remembered(
    seconds: float,
    method: Callable[[Any, Any], Any],
    is_yes: Callable[[Any], bool],
    clock: Callable[[], float] = time.monotonic,
) -> Callable[[Any, Any], Any]:
    """Let a method give an answer again for so many seconds, to the same question, if it is a yes.

    Each object remembers its own answers, and forgets the old ones when it hears a new one.
    """
    name = f"{_HEARD}_{method.__name__}"

    def asked_or_remembered(self: Any, about: Any) -> Any:
        key = frozenset(about) if isinstance(about, set) else about
        now = clock()
        held: dict[Any, tuple[float, Any]] = getattr(self, name, {})
        heard = held.get(key)
        if heard is not None and now - heard[0] < seconds:
            return heard[1]
        answer = method(self, about)
        if is_yes(answer):
            fresh = {what: one for what, one in held.items() if now - one[0] < seconds}
            setattr(self, name, fresh | {key: (now, answer)})
        return answer

    return asked_or_remembered


def _all_run(statuses: dict[int, Any]) -> bool:
    """Say whether each of these runs is running, and neither waits nor has ended."""
    from flwr.common.constant import Status

    return bool(statuses) and all(one.status == Status.RUNNING for one in statuses.values())


def _store_no_traffic(self: Any, run_id: int, bytes_sent: int, bytes_recv: int) -> None:
    """Leave the sums of a run's bytes at 0."""
