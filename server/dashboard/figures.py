"""Numbers and times as people read them. The same words stand on the page and in the terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime

from server.dashboard.snapshot import Left, RunState, SiteState

STATE_WORDS: dict[SiteState, str] = {
    "online": "online",
    "working": "working",
    "late": "late",
    "quarantined": "quarantined",
    "refused": "refused",
    "gone": "gone",
    "done": "done",
    "unknown": "not known",
}
STATE_SIGNS: dict[SiteState, str] = {
    "online": "●",
    "working": "◐",
    "late": "◷",
    "quarantined": "⊘",
    "refused": "✕",
    "gone": "○",
    "done": "✓",
    "unknown": "–",
}
"""Beside its colour every state has a shape."""

RUN_WORDS: dict[RunState, str] = {
    "running": "running",
    "starting": "starting",
    "finished": "finished",
    "failed": "failed",
    "stopped": "stopped",
    "interrupted": "interrupted",
}
NOTHING = "–"


def duration(seconds: float | None) -> str:
    """Write seconds: 0.8 s, 12 s, 3 min 05 s, 2 h 10 min, 3 d 4 h."""
    if seconds is None:
        return NOTHING
    if seconds < 9.95:
        return f"{max(0.0, seconds):.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    minutes = round(whole / 60)
    if minutes < 24 * 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    hours = round(minutes / 60)
    return f"{hours // 24} d {hours % 24} h"


def size(count: int | None) -> str:
    """Write bytes with a decimal unit: 678 B, 12.0 kB, 4.8 MB."""
    if count is None:
        return NOTHING
    if count < 1000:
        return f"{count} B"
    value, unit = count / 1e3, "kB"
    for larger in ("MB", "GB", "TB"):
        if value >= 999.5:
            value, unit = value / 1e3, larger
    return f"{value:.1f} {unit}"


def clock(when: float | None) -> str:
    """Write a time in UTC: 2026-11-20 17:17:11."""
    return NOTHING if when is None else f"{datetime.fromtimestamp(when, UTC):%Y-%m-%d %H:%M:%S}"


def ago(when: float | None, now: float) -> str:
    """Write how long ago something was."""
    return NOTHING if when is None else f"{duration(max(0.0, now - when))} ago"


def done_share(value: float | None) -> str:
    """Write what is done as a percentage: 100 only when all of it is."""
    return NOTHING if value is None else f"{math.floor(100.0 * value + 1e-9)} %"


def number(value: float | None, digits: int = 3) -> str:
    """Write a number with so many digits behind the point."""
    return NOTHING if value is None else f"{value:.{digits}f}"


def last_known(values: Sequence[float | None]) -> float | None:
    """Give the last number: the training loss, for one, is known of a round only after the next."""
    return next((value for value in reversed(values) if value is not None), None)


def rough(seconds: float) -> str:
    """Write a duration no more exactly than an estimate deserves."""
    for step, below in ((5, 60), (30, 600), (60, 3600), (300, 6 * 3600)):
        if seconds < below:
            return _rounded(max(step, round(seconds / step) * step))
    return _rounded(round(seconds / 1800) * 1800)


STAGE_WORDS = {"train": "training"}
"""Stages that have another name in a sentence."""


def left_words(left: Left) -> str:
    """Say how long is left, and of what if that is not everything."""
    low, high = rough(left.low), rough(left.high)
    span = f"about {high}" if low == high else f"{low} to {high}"
    return f"{span} of {_listed(left.covers)} left" if left.uncounted else f"{span} left"


def left_basis(left: Left) -> str:
    """Say what the estimate is made from, and what it leaves out."""
    said = []
    if left.paced:
        unit = "round" if left.paced == "train" else "question"
        count = f"1 {unit}" if left.questions == 1 else f"{left.questions} {unit}s"
        of = "" if left.paced == "train" else f" of {left.paced}"
        said.append(f"{count}{of} at the pace of the last {left.measured}.")
    if left.like:
        others = _listed(tuple(stage for stage in left.covers if stage != left.paced))
        said.append(f"{others[:1].upper()}{others[1:]} as in the run {left.like}.")
    if left.uncounted:
        said.append(f"Not counted: {_listed(left.uncounted)}, of which nothing was measured yet.")
    return " ".join(said)


def _rounded(seconds: float) -> str:
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    hours, minutes, rest = whole // 3600, whole % 3600 // 60, whole % 60
    if hours:
        return f"{hours} h {minutes:02d} min" if minutes else f"{hours} h"
    return f"{minutes} min {rest} s" if rest else f"{minutes} min"


def _listed(stages: Sequence[str]) -> str:
    names = [STAGE_WORDS.get(stage, stage) for stage in stages]
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
