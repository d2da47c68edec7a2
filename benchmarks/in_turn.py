"""What is compared, each in a process of its own: asked in turn, and without a common setup."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any


@contextmanager
def apart(
    serve: Callable[..., None], what: Mapping[str, tuple[Any, ...]]
) -> Iterator[dict[str, Connection]]:
    """Start `serve(line, *arguments)` in a fresh process for each name; give the lines to them.

    At the end each is sent None, and is waited for.
    """
    context = get_context("spawn")
    lines, processes = {}, []
    for name, arguments in what.items():
        lines[name], far = context.Pipe()
        processes.append(context.Process(target=serve, args=(far, *arguments), daemon=True))
        processes[-1].start()
    try:
        yield lines
    finally:
        for line in lines.values():
            line.send(None)
        for process in processes:
            process.join()
