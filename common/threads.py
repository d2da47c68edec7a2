"""Linear algebra on one thread.

A site's processes, and a coordinator's beside its server, share their cores. After each product
the other threads of OpenBLAS wait for the next one by spinning, a tenth of a second of processor
time in a short round; and a sum over several threads has other last bits on a machine with more
cores. What is large enough to gain from threads, images and slices, is spread over processes.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
"""For a process that is started: the libraries read it when they are loaded."""


def one_thread() -> AbstractContextManager[Any]:
    """Keep what this process has loaded to one thread, for as long as the context lasts."""
    limits: AbstractContextManager[Any] = threadpool_limits(1)
    return limits
