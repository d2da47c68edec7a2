"""Processes that measure cases, begun while there is something else to do.

They are spawned: the process that begins them may hold threads and a GPU. It is one of them itself:
half a second passes until another one has begun, and on two cores that would be lost on both.
"""

from __future__ import annotations

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from queue import SimpleQueue
from typing import Self, TypeVar

from client.imaging.radiomics import RadiomicsRecipe, extractor

Result = TypeVar("Result")

AHEAD = 2
"""Tasks handed to each of the others: one more than it does, while this process measures a case."""


class Processes:
    """Others that make themselves ready for a recipe's measurements, to help this process.

    `most`: how many may measure, this one counted.
    """

    def __init__(self, most: int, recipe: RadiomicsRecipe) -> None:
        self._most = most
        self._recipe = recipe
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._pool is None:
            return
        if kind is None:
            # All is measured: nobody need wait until they have ended.
            self._pool.shutdown(wait=False)
        else:
            self._pool.shutdown(wait=True, cancel_futures=True)

    @property
    def begun(self) -> bool:
        """Whether there are others."""
        return self._pool is not None

    def begin(self, waiting: int) -> None:
        """Begin another one if so many cases wait; for a single one none is worth its start."""
        if not 2 <= waiting <= self._most:
            return
        if self._pool is None:
            spawned = get_context("spawn")
            self._pool = ProcessPoolExecutor(self._most - 1, spawned, _make_ready, (self._recipe,))
        self._pool.submit(_begin)

    def each(
        self, tasks: Mapping[int, Callable[[], Result]]
    ) -> Iterator[tuple[int, Result | None]]:
        """Do numbered tasks; their results as they come.

        The others take from the beginning, this process from the end. None stands for a result that
        did not come because a process was ended from outside.
        """
        if self._pool is None:
            raise ValueError("there are no processes: none were begun")
        waiting = deque(tasks)
        begun: dict[Future[Result], int] = {}
        came: SimpleQueue[Future[Result]] = SimpleQueue()
        while waiting or begun:
            while waiting and len(begun) < AHEAD * (self._most - 1):
                number = waiting.popleft()
                try:
                    future = self._pool.submit(tasks[number])
                except BrokenProcessPool:
                    yield number, None
                    continue
                begun[future] = number
                future.add_done_callback(came.put)
            if waiting:
                own = waiting.pop()
                yield own, tasks[own]()
            while begun and not (waiting and came.empty()):
                future = came.get()
                yield begun.pop(future), _result(future)


def _result(future: Future[Result]) -> Result | None:
    try:
        return future.result()
    except BrokenProcessPool:
        return None


def _begin() -> None:
    """Do nothing: a process is begun for each task that finds none idle."""


def _make_ready(recipe: RadiomicsRecipe) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the parent, which ends this one
    threading.Thread(target=_end_with_parent, daemon=True).start()
    extractor(recipe)


def _end_with_parent() -> None:
    """A parent that is killed says nothing, and this process would wait for it for ever."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
