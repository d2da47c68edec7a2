"""Reads a run's folder into a snapshot. A reader keeps its place: events are read once.

Nothing is written, and nothing is asked of the run: its files say it all. Who is online is known
to the SuperLink alone and comes from outside (`presence.py`).
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from common.errors import WrongUse
from common.study import Study
from server.dashboard.assembly import Files, snapshot
from server.dashboard.earlier import earlier_like
from server.dashboard.estimate import Earlier
from server.dashboard.snapshot import Snapshot
from server.dashboard.told import Told
from server.journal import AGAIN
from server.network.locks import is_locked
from server.sum_sets import SETS_FILE
from server.tail import Tail

STILL_ALIVE = 90.0
"""Seconds without an event after which a run without a lock is taken for interrupted."""


class RunReader:
    """One run's folder. `look` gives a snapshot of it as it stands.

    Raises
    ------
    WrongUse
        The folder holds no run.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        held = _json(path / "run.json")
        if not isinstance(held, dict) or "identity" not in held:
            raise WrongUse(
                f"{path} holds no run.",
                "Give the folder of a run, which holds run.json, or that of a coordinator.",
            )
        self.marker: dict[str, Any] = held
        self.study = _study(path / "study.json")
        self.told = Told()
        self._tail = Tail(path / "events.jsonl")
        self._cohort = _Kept(path / "cohort.json")
        self._sets = _Kept(path / SETS_FILE)

    def look(self, online: Mapping[str, bool] | None = None, now: float | None = None) -> Snapshot:
        """Read what is new, and say how the run stands.

        Parameters
        ----------
        online
            Whether sites are connected, by name, where that is known.
        now
            Seconds since 1970; by default what the clock says.
        """
        clock = time.time() if now is None else now
        for event in self._tail.new():
            self.told.take(event)
        finished = (self.path / "results.json").exists()
        files = Files(
            marker=self.marker,
            study=self.study,
            cohort=self._cohort.content() or {},
            sets=self._sets.content() or {},
            answered=self._answered(),
            finished=finished,
            held=self._held(clock),
            earlier=Earlier() if finished else self._earlier,
        )
        return snapshot(self.told, files, online or {}, clock)

    @cached_property
    def _earlier(self) -> Earlier:
        """Look once: runs that finish later would tell no more than those already there."""
        return Earlier() if self.study is None else earlier_like(self.path, self.study)

    def _answered(self) -> tuple[str, ...]:
        """Name the sites whose answers to the question under way have come."""
        asking = self.told.question
        if asking is None:
            return ()
        places = [str(asking[name]) for name in ("step", "fold", "round") if name in asking]
        name = ".".join([str(asking["stage"]), *places])
        if asking.get("attempt", 1) != 1:
            name = f"{name}{AGAIN}{asking['attempt']}"
        try:
            here = {path.stem for path in (self.path / "answers" / name).glob("*.answer")}
        except OSError:
            return ()
        return tuple(site for site in asking.get("sites", ()) if site in here)

    def _held(self, now: float) -> bool:
        """Say whether a process works on the run."""
        lock = self.path / "lock"
        if lock.exists():
            try:
                return is_locked(lock)
            except OSError:
                return False
        # A run that was begun by an earlier version, or whose process is just being started.
        last = self.told.last
        return last is not None and now - last < STILL_ALIVE


def look_at(path: Path) -> Snapshot:
    """Give the snapshot of a run's folder as it stands."""
    return RunReader(path).look()


class _Kept:
    """A JSON file that is read again only when it was written anew."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._written: tuple[int, int] | None = None
        self._content: Any = None

    def content(self) -> Any:
        """Give what is in it; None while it is not there."""
        try:
            found = self._path.stat()
        except OSError:
            return None
        if (found.st_mtime_ns, found.st_size) != self._written:
            self._content = _json(self._path)
            self._written = (found.st_mtime_ns, found.st_size)
        return self._content


def _json(path: Path) -> Any:
    """Read a file that may not be there yet."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None


def _study(path: Path) -> Study | None:
    """Read the run's study; None for a run of a version that did not keep it, or another."""
    try:
        return Study.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None
