"""The coordinator's runs: one folder each, named by the identity of the run.

Beside what the run writes itself there is `lock`, which the process that works on it holds. The
system releases a lock when its process ends, however that was. So it is known at once whether
somebody works on a run, and never two do.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import ValidationError

from common.errors import RunError, WrongUse
from common.study import Study
from server.network.control import FlowerRun
from server.network.folder import CoordinatorFolder
from server.network.locks import Taken, is_locked, locked
from server.run import RunFolder

State = Literal["running", "starting", "finished", "failed", "stopped", "interrupted"]

SUBMITTED, BEGAN, FINISHED, FAILED, STOPPING, STOPPED = (
    "submitted",
    "began",
    "finished",
    "failed",
    "stopping",
    "stopped",
)
"""Events that say how a run stands; the last of them counts."""

LIFE = (SUBMITTED, BEGAN, FINISHED, FAILED, STOPPING, STOPPED)
_NEW = ".new-"
HOLD_SECONDS = 5.0


@dataclass(frozen=True)
class Standing:
    """How a run stands.

    `where` is the last question that was settled, in words; `flower` the number of Flower's run
    that was started last for it; `problem` what and fix of a failure.
    """

    identity: str
    study: str
    state: State
    where: str
    since: str
    flower: int | None
    problem: tuple[str, str] | None


def begin(folder: CoordinatorFolder, study: Study) -> RunFolder:
    """Make the folder of a new run."""
    new = folder.runs / f"{_NEW}{os.urandom(6).hex()}"
    try:
        identity = RunFolder.begin(new, study).identity
        path = new.rename(folder.runs / identity)
    finally:
        shutil.rmtree(new, ignore_errors=True)
    return RunFolder(path, study, identity)


def find(folder: CoordinatorFolder, identity: str) -> RunFolder:
    """Find a run by its identity, or by a beginning of it that no other run has.

    Raises
    ------
    WrongUse
        There is no such run, or several.
    """
    known = identities(folder)
    fits = [one for one in known if one == identity] or [
        one for one in known if identity and one.startswith(identity)
    ]
    if len(fits) != 1:
        found = ", ".join(fits or known) or "none"
        what = f"Several runs begin with {identity!r}" if fits else f"There is no run {identity!r}"
        raise WrongUse(f"{what}. Runs: {found}.", "Give the identity of one of them.")
    path = folder.runs / fits[0]
    try:
        study = Study.model_validate_json((path / "study.json").read_text(encoding="utf-8"))
        held = json.loads((path / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, ValidationError):
        raise WrongUse(
            f"{path} is not a whole run, or was written by another version.",
            "Use the version that began it, or begin a new run.",
        ) from None
    if study.fingerprint != held.get("fingerprint"):
        raise WrongUse(f"The study in {path} was changed.", "Begin a new run.")
    return RunFolder(path, study, fits[0])


def identities(folder: CoordinatorFolder) -> list[str]:
    """List the identities of all runs, the oldest first."""
    found = [
        path for path in folder.runs.glob("*/run.json") if not path.parent.name.startswith(".")
    ]
    return [path.parent.name for path in sorted(found, key=lambda path: path.stat().st_mtime)]


@contextmanager
def holding(run: RunFolder) -> Iterator[None]:
    """Hold a run while working on it.

    Raises
    ------
    RunError
        Somebody else works on it.
    """
    try:
        # Whoever asks `is_held` takes the lock for an instant: that is not worth a failure.
        with locked(run.path / "lock", patience=HOLD_SECONDS):
            yield
    except Taken:
        raise RunError(
            f"Another process works on the run {run.identity}.",
            "Wait for it, or stop it: myofed coordinator stop",
        ) from None


def is_held(run: RunFolder) -> bool:
    """Say whether a process works on a run now."""
    return is_locked(run.path / "lock")


def events(run: RunFolder) -> list[dict[str, Any]]:
    """Read the events so far; a line that is just being written is left out."""
    path = run.path / "events.jsonl"
    if not path.exists():
        return []
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def standing(run: RunFolder, flower: FlowerRun | None = None) -> Standing:
    """Say how a run stands.

    Parameters
    ----------
    flower
        What Flower says of the run that was started last for it; None if it cannot be asked.
    """
    every = events(run)
    life = [event for event in every if event.get("event") in LIFE]
    last: dict[str, Any] = life[-1] if life else {}
    kind = last.get("event")
    finished = (run.path / "results.json").exists()
    waits = flower is not None and not flower.over
    state = state_of(kind, is_held(run), finished, waits)
    problem = None
    if state == "failed":
        problem = (str(last.get("what", "")), str(last.get("fix", "")))
    return Standing(
        run.identity,
        run.study.name,
        state,
        _where(every),
        str(every[-1]["time"]) if every else "",
        flower_run(every),
        problem,
    )


def state_of(last: str | None, held: bool, finished: bool, waits: bool) -> State:
    """Say how a run stands.

    Parameters
    ----------
    last
        The last event of its life, if there was one.
    held, finished
        Whether a process works on it; whether it has results.
    waits
        Whether Flower has still to start its process.
    """
    if held:
        return "running"
    if finished:
        return "finished"
    if last == FAILED:
        return "failed"
    if last == STOPPED:
        return "stopped"
    return "starting" if last == SUBMITTED and waits else "interrupted"


def flower_run(every: list[dict[str, Any]]) -> int | None:
    """Give the number of Flower's run that was started last, from a run's events."""
    numbers = [event["flower"] for event in every if event.get("event") == SUBMITTED]
    return int(numbers[-1]) if numbers else None


def _where(every: list[dict[str, Any]]) -> str:
    for event in reversed(every):
        if event.get("event") == "asked":
            return words(event)
        if event.get("event") == "stage-began":
            return str(event["stage"])
    return ""


def words(asked: dict[str, Any]) -> str:
    """Say in words which question an event is about."""
    details = [f"{name} {asked[name]}" for name in ("step", "rung", "trial", "fold", "round")
               if name in asked and (name, asked[name]) != ("round", 0)]  # fmt: skip
    return ", ".join([str(asked["stage"]), *details])
