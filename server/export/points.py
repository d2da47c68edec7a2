"""From the events of a run to points of curves: the same events give the same points, in order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

Event = Mapping[str, Any]
MEASURES = ("training_loss", "validation_loss", "validation_auc")


@dataclass(frozen=True)
class Point:
    """One value of one curve.

    Attributes
    ----------
    curve : what it is of: ``fold-0``, or ``site-aldgate`` for a single site
    name : what was measured, for example ``validation_auc``
    step : number of the round
    time : seconds since 1970 at which it was told
    """

    curve: str
    name: str
    step: int
    value: float
    time: float


@dataclass
class Points:
    """Makes points of events. A question that was put twice in one round gives one point."""

    _last: dict[tuple[str, str], int] = field(default_factory=dict)

    def of(self, event: Event) -> Iterator[Point]:
        """Give the points of one event; most events have none."""
        if "fold" not in event or "round" not in event:
            return
        for point in _found(event):
            key = (point.curve, point.name)
            if point.step > self._last.get(key, -1):
                self._last[key] = point.step
                yield point


def _found(event: Event) -> Iterator[Point]:
    kind, step = event.get("event"), int(event["round"])
    time = datetime.fromisoformat(str(event["time"])).timestamp()
    fold = f"fold-{event['fold']}"
    if kind == "measured":
        for name in MEASURES:
            if event.get(name) is not None:
                yield Point(fold, name, step, float(event[name]), time)
        for site, own in event.get("sites", {}).items():
            for name in MEASURES:
                if own.get(name) is not None:
                    yield Point(f"site-{site}", f"{fold}/{name}", step, float(own[name]), time)
    elif kind == "asked" and event.get("stage") == "train":
        sites: Mapping[str, Event] = event.get("sites", {})
        yield Point(fold, "round_seconds", step, float(event["seconds"]), time)
        yield Point(fold, "sites_missing", step, float(len(event.get("failures", {}))), time)
        moved = sum(one["sent_bytes"] + one["received_bytes"] for one in sites.values())
        yield Point(fold, "bytes", step, float(moved), time)
        for site, one in sites.items():
            if one.get("seconds") is not None:
                yield Point(f"site-{site}", f"{fold}/seconds", step, float(one["seconds"]), time)
