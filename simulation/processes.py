"""The simulation engine's processes, started by us: Ray gives up after 30 s, we do not at once.

A machine that is busy with other work may need longer; what was half started is ended first.
"""

# mypy: allow-untyped-calls
from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from common.errors import RunError

TRIES = 3


@contextmanager
def engine_processes(count: int) -> Iterator[None]:
    """Keep Ray with so many processes; Flower takes what is there, and we end it.

    Raises
    ------
    RunError
        Ray did not start, `TRIES` times.
    """
    import ray

    path = os.pathsep.join(sys.path)
    for left in reversed(range(TRIES)):
        try:
            ray.init(
                num_cpus=count,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
                runtime_env={"env_vars": {"PYTHONPATH": path}},
            )
            break
        except Exception as error:  # Ray has no narrower one for this
            ray.shutdown()
            if not left:
                raise RunError(
                    f"The simulation engine did not start ({type(error).__name__}: {error}).",
                    "The machine may be too busy, or short of memory or of space in /tmp.",
                ) from error
    try:
        yield
    finally:
        ray.shutdown()
