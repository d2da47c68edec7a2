"""Cases on the machines of a cluster that the site has: Ray or Dask, by joblib.

One setting, the environment variable `MYOFED_EXTRACTION_ENGINE`, for the command `site extract` and
for the worker: ``ray://head:10001`` (or ``ray`` on a machine of the cluster) or
``dask://scheduler:8786``. Images and cache must be at the same paths on all machines; nothing but
the paths and what was measured goes between them, inside the site.
"""

# mypy: allow-untyped-calls
from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, nullcontext
from typing import Any, TypeVar

from common.errors import WrongUse

SETTING = "MYOFED_EXTRACTION_ENGINE"
KINDS = ("ray", "dask")
ROUNDS = 8
"""Cases for each core of the cluster that are handed over at a time."""

Task = TypeVar("Task")
Result = TypeVar("Result")


def engine_set() -> str:
    """Give the address of the site's engine; empty where there is none.

    Raises
    ------
    WrongUse
        The setting names no engine that there is a way to.
    """
    address = os.environ.get(SETTING, "").strip()
    kind, separator, place = address.partition("://")
    if address and (kind not in KINDS or bool(separator) != bool(place)):
        raise WrongUse(
            f"{SETTING} is '{address}', which is no address of an engine.",
            "Set it to 'ray://HOST:PORT', 'ray' on a machine of the cluster, or "
            "'dask://HOST:PORT'; or unset it, to use this machine alone.",
        )
    if address == "dask":
        raise WrongUse(f"{SETTING} does not say where Dask is.", "Write 'dask://HOST:PORT'.")
    return address


def on_engine(
    address: str, work: Callable[[Task], Result], tasks: Sequence[Task]
) -> Iterator[Result]:
    """Do `work` on each of the tasks on the engine; the results come in order, some at a time.

    Raises
    ------
    WrongUse
        The engine's library is not installed, or it does not answer.
    """
    from joblib import Parallel, delayed, effective_n_jobs, parallel_config

    with _connected(address), parallel_config(address.partition("://")[0]):
        # Ray's way through joblib gives nothing before all is done, so not all is asked at once.
        portion = ROUNDS * effective_n_jobs(-1)
        for start in range(0, len(tasks), portion):
            # One case a task: a case takes seconds, and lengths differ.
            parallel = Parallel(n_jobs=-1, batch_size=1)
            yield from parallel(delayed(work)(task) for task in tasks[start : start + portion])


def _connected(address: str) -> AbstractContextManager[Any]:
    """Connect to the engine, for as long as the extraction takes."""
    kind, _, place = address.partition("://")
    try:
        if kind == "dask":
            from distributed import Client

            return closing(Client(f"tcp://{place}", timeout="30s"))
        import ray
        from ray.util.joblib import register_ray

        register_ray()
        if ray.is_initialized():
            return nullcontext()
        ray.init(address if place else "auto", log_to_driver=False)
        ended = ExitStack()
        ended.callback(ray.shutdown)
        return ended
    except ImportError as error:
        raise WrongUse(
            f"{SETTING} asks for {kind.capitalize()}, and it is not installed ({error.name}).",
            f"pip install '{'distributed' if kind == 'dask' else 'ray'}', in the version of the "
            "cluster.",
        ) from None
    except (OSError, ConnectionError, TimeoutError) as error:
        raise WrongUse(
            f"No {kind.capitalize()} answers at {address} ({type(error).__name__}).",
            f"Start the cluster, or correct {SETTING}.",
        ) from None
