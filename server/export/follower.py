"""Follows the events of a run from a thread of its own and hands their points on.

The run waits for none of this and does not know of it: what fails here is written to the log once,
and what cannot be exported stays in `events.jsonl`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Protocol

from server.export import mlflow
from server.export.points import Point, Points
from server.export.tensorboard import TensorBoardFiles
from server.run import RunFolder
from server.tail import Tail

LOOK_SECONDS = 2.0
LAST_SECONDS = 10.0
"""How long the end of a run waits for the last points."""

log = logging.getLogger("myofed.export")


class Sink(Protocol):
    """What points are handed to."""

    def take(self, point: Point) -> None:
        """Take one point."""

    def flush(self) -> None:
        """Bring what was taken to where it goes."""

    def close(self) -> None:
        """Nothing more comes."""


@contextmanager
def exporting(run: RunFolder) -> Iterator[None]:
    """Export the metrics of a run while the body is at work."""
    sinks: list[tuple[str, Callable[[], Sink]]] = [
        ("TensorBoard", lambda: TensorBoardFiles(run.path))
    ]
    if mlflow.is_wanted():
        sinks.append(("MLflow", lambda: mlflow.mlflow_run(run.path, run.study.name, run.identity)))
    stop = Event()
    # One thread each: a server that does not answer holds up nothing but itself.
    threads = [
        Thread(target=follow, args=(run.path, name, opened, stop), daemon=True, name=f"to {name}")
        for name, opened in sinks
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(LAST_SECONDS)


def follow(run: Path, name: str, opened: Callable[[], Sink], stop: Event) -> None:
    """Hand the points of a run on until `stop` is set; the first of them opens the sink."""
    tail, points = Tail(run / "events.jsonl"), Points()
    sink: Sink | None = None
    try:
        while True:
            last = stop.wait(LOOK_SECONDS)
            for event in tail.new():
                for point in points.of(event):
                    sink = sink or opened()
                    sink.take(point)
            if sink is not None:
                sink.flush()
            if last:
                break
        if sink is not None:
            sink.close()
    except Exception as error:
        log.warning("No metrics go to %s any more: %s: %s", name, type(error).__name__, error)
