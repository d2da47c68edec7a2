"""Watch a run from outside: its events as they come, and whether anybody still works on it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from threading import Event
from typing import Any

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from common.console import to_person
from common.study import Study
from server.network.control import Control, FlowerRun, SuperLinkDown
from server.network.runs import (
    FAILED,
    FINISHED,
    LIFE,
    STOPPED,
    Standing,
    events,
    flower_run,
    standing,
    words,
)
from server.run import RunFolder
from server.tail import Tail

LOOK_SECONDS = 0.5
ASK_SECONDS = 5.0
"""How often Flower is asked about a run; in between, its events tell."""

ENDS = (FINISHED, FAILED, STOPPED)

Tell = Callable[[dict[str, Any]], None]


def follow(run: RunFolder, control: Control, tell: Tell, stop: Event) -> Standing | None:
    """Follow a run until it has ended, one way or another, and say how it stands then.

    Gives None as soon as `stop` is set.

    A run whose process is gone without a word is noticed within a few seconds of its end.
    """
    tail = Tail(run.path / "events.jsonl")
    asked = float("-inf")
    ending = False
    while True:
        for event in tail.new():
            ending = event["event"] in ENDS or (ending and event["event"] not in LIFE)
            tell(event)
        if ending or time.monotonic() - asked >= ASK_SECONDS:
            asked = time.monotonic()
            now = how_it_stands(run, control)
            if now.state not in ("running", "starting"):
                for event in tail.new():
                    tell(event)
                return now
        if stop.wait(LOOK_SECONDS):
            return None


def how_it_stands(run: RunFolder, control: Control | None) -> Standing:
    """Say how a run stands, and ask Flower where that is needed to know."""
    now = standing(run)
    if now.state != "interrupted" or control is None or now.flower is None:
        return now
    flower = flower_of(run, control)
    now = standing(run, flower)
    if now.state == "interrupted" and flower is not None and flower.details:
        return replace(now, problem=(f"Flower says: {flower.details}", ""))
    return now


def flower_of(run: RunFolder, control: Control) -> FlowerRun | None:
    """Ask Flower about the run that was started last; None if it cannot say."""
    number = flower_run(events(run))
    try:
        return None if number is None else control.run(number)
    except SuperLinkDown:
        return None


_IN_ROUNDS = ("search", "train")
_ROUND = ("step", "rung", "trial", "fold", "round")
"""What tells the questions of these stages apart."""


@contextmanager
def progress_of(study: Study) -> Iterator[Tell]:
    """Show where a run stands: a bar over the rounds of training, and what is being done.

    Sites that are missing are named as it happens; what happened before is not told again.
    """
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    rounds = study.folds * (study.training.rounds + 1)
    rounds += sum(rung.cost + rung.places for rung in study.search.rungs)
    others: set[str] = set()
    trained: set[tuple[Any, ...]] = set()
    with Progress(*columns, console=to_person) as bar:
        task = bar.add_task("waiting for the run to begin", total=rounds + 5)

        def tell(event: dict[str, Any]) -> None:
            kind = event.get("event")
            if kind == "stage-began":
                bar.update(task, description=str(event["stage"]))
            elif kind == "stage" and event["stage"] not in _IN_ROUNDS:
                others.add(event["stage"])
            elif kind == "asked":
                if event["stage"] in _IN_ROUNDS:
                    trained.add(tuple(event.get(name) for name in _ROUND))
                bar.update(task, description=words(event))
                new = str(event.get("time", "")) >= now
                for site, reason in sorted(event.get("failures", {}).items() if new else ()):
                    bar.console.print(f"{words(event)}: without {site}: {reason}", markup=False)
            bar.update(task, completed=min(rounds, len(trained)) + len(others))

        yield tell
