"""One check: what was looked at, the verdict, what was found in one sentence, and the fix."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

NETWORK_SECONDS = 5.0
"""Longer than any healthy answer takes, short enough that a person waits for it."""


class Verdict(StrEnum):
    """How a check ended; WARN works today but deserves a look."""

    PASS = "PASS"
    WARN = "WARN"
    FAIL = "FAIL"


@dataclass(frozen=True)
class Check:
    """The outcome of one check. `fix` is empty where there is nothing to do."""

    name: str
    verdict: Verdict
    found: str
    fix: str = ""

    def as_dict(self) -> dict[str, str]:
        """Give the check as JSON holds it."""
        return {
            "check": self.name,
            "verdict": self.verdict.value,
            "found": self.found,
            "fix": self.fix,
        }


def passed(name: str, found: str) -> Check:
    """Make a check that found nothing wrong."""
    return Check(name, Verdict.PASS, found)


def warned(name: str, found: str, fix: str) -> Check:
    """Make a check that found something to look at."""
    return Check(name, Verdict.WARN, found, fix)


def failed(name: str, found: str, fix: str) -> Check:
    """Make a check that found what must be corrected."""
    return Check(name, Verdict.FAIL, found, fix)


@dataclass(frozen=True)
class Task:
    """A check to make: its name, the function that makes it, and the seconds it may take."""

    name: str
    make: Callable[[], Check]
    seconds: float = NETWORK_SECONDS


def examine(tasks: Sequence[Task], tell: Callable[[Check], None] = lambda _: None) -> list[Check]:
    """Make every check in turn; none that fails, hangs or breaks keeps the next from being made."""
    found = []
    for task in tasks:
        check = _within(task)
        tell(check)
        found.append(check)
    return found


def worst(checks: Sequence[Check]) -> Verdict:
    """Give the worst verdict of all."""
    order = [Verdict.PASS, Verdict.WARN, Verdict.FAIL]
    return max((check.verdict for check in checks), key=order.index, default=Verdict.PASS)


def _within(task: Task) -> Check:
    """Make a check in a thread that is left behind when it takes too long."""
    made: list[Check] = []

    def make() -> None:
        try:
            made.append(task.make())
        except Exception as error:
            made.append(
                failed(
                    task.name,
                    f"The check itself broke ({type(error).__name__}: {error}).",
                    "Report this; the other checks hold.",
                )
            )

    thread = threading.Thread(target=make, daemon=True, name=f"doctor-{task.name}")
    thread.start()
    thread.join(task.seconds)
    if made:
        return made[0]
    return failed(
        task.name,
        f"There was no result within {task.seconds:.0f} seconds.",
        "Look whether the network or the disk hangs, then call the doctor again.",
    )
