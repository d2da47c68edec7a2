"""Distributed ComBat against neuroCombat on the pooled rows: `python benchmarks/combat.py`.

10,000 rows of 939 features at ten sites, two covariates kept, empirical Bayes. Ours is the whole
work of all sites and the server, one after the other in a process: sums, their total, the
reference, each site's batch effects, and the harmonised rows. neuroCombat gets the pooled rows.

Each has a process of its own, as it would have: neuroCombat as Python starts it, ours as a site's
worker is set up, which keeps the memory that it has freed. neuroCombat set up like a worker is
timed too. They take turns. All must agree, within the tolerance at which neuroCombat stops (1e-4 of
its estimates).
"""

from __future__ import annotations

import argparse
import contextlib
import io
import time
from functools import reduce
from multiprocessing.connection import Connection
from operator import add

import numpy as np
import pandas as pd
from in_turn import apart
from neuroCombat import neuroCombat
from numpy.typing import NDArray
from table import Row, show

from common.memory import keep_freed_memory
from harmonization import combat_sums, estimate_batches, harmonize, solve_reference

ROWS, FEATURES, SITES = 10_000, 939, 10
Floats = NDArray[np.float64]
Site = tuple[Floats, Floats, list[str]]
"""A site's rows, covariates, and the batch of each row."""
OURS, POOLED, KEPT = "distributed", "neuroCombat", "neuroCombat, memory kept"
WAYS = (OURS, POOLED, KEPT)


def rows(repeats: int = 7) -> list[Row]:
    """Time all of them `repeats` times, after one that is not counted; the ratio of each pair."""
    seconds: dict[str, list[float]] = {name: [] for name in WAYS}
    with apart(serve, {name: (name,) for name in WAYS}) as lines:
        for repeat in range(repeats + 1):
            found = {}
            for name, line in lines.items():
                line.send(True)
                taken, found[name] = line.recv()
                if repeat:
                    seconds[name].append(taken)
            for name in (POOLED, KEPT):
                assert np.max(np.abs(found[OURS] - found[name])) < 1e-3
    ours, theirs, kept = (float(np.median(seconds[name])) for name in (OURS, POOLED, KEPT))
    return [
        Row(
            f"distributed ComBat, {ROWS:,} rows x {FEATURES}, {SITES} sites",
            "neuroCombat on the pooled rows",
            "times as fast",
            20.0,
            list(np.array(seconds[POOLED]) / np.array(seconds[OURS])),
            f"{ours:.3f} s against {theirs:.2f} s; neuroCombat with memory kept: {kept:.2f} s",
        )
    ]


def serve(line: Connection, name: str) -> None:
    """Harmonise at each word that comes; tell the seconds, and the rows in standard deviations."""
    if name != POOLED:
        keep_freed_memory()
    x, covariates, batch = problem()
    sites, deviation = cut(x, covariates, batch), x.std(axis=0)
    while line.recv():
        began = time.perf_counter()
        found = distributed(sites) if name == OURS else [pooled(x, covariates, batch)]
        taken = time.perf_counter() - began
        line.send((taken, np.concatenate(found) / deviation))


def problem() -> tuple[Floats, Floats, NDArray[np.str_]]:
    """Make rows (n, p) with the sites' own locations and scales, covariates (n, 2), batches (n)."""
    rng = np.random.default_rng(0)
    site = np.repeat(np.arange(SITES), ROWS // SITES)
    covariates = np.column_stack([rng.uniform(20.0, 80.0, ROWS), rng.integers(0, 2, ROWS)])
    slopes = rng.normal(scale=0.02, size=(2, FEATURES))
    location = rng.normal(size=(SITES, FEATURES))
    scale = rng.uniform(0.6, 1.6, size=(SITES, FEATURES))
    noise = rng.normal(size=(ROWS, FEATURES))
    x = 5.0 + covariates @ slopes + location[site] + scale[site] * noise
    return x, covariates, np.array([f"site{number}" for number in site])


def cut(x: Floats, covariates: Floats, batch: NDArray[np.str_]) -> list[Site]:
    """Give each site its own rows, before anything is timed: there they lie."""
    size = ROWS // SITES
    cuts = [slice(start, start + size) for start in range(0, ROWS, size)]
    return [(x[cut].copy(), covariates[cut].copy(), batch[cut].tolist()) for cut in cuts]


def distributed(sites: list[Site]) -> list[Floats]:
    """Harmonise as a study does: each site sees its own rows, the server sees sums."""
    sums = [combat_sums(x, covariates, batch) for x, covariates, batch in sites]
    reference = solve_reference(reduce(add, sums), names=["age", "sex"])
    found = []
    for x, covariates, batch in sites:
        effects = estimate_batches(x, covariates, batch, reference)
        found.append(harmonize(x, covariates, batch, reference, effects))
    return found


def pooled(x: Floats, covariates: Floats, batch: NDArray[np.str_]) -> Floats:
    """Harmonise by neuroCombat, which wants features in rows and says what it does."""
    table = pd.DataFrame({"batch": batch, "age": covariates[:, 0], "sex": covariates[:, 1]})
    with contextlib.redirect_stdout(io.StringIO()):
        found = neuroCombat(
            dat=x.T, covars=table, batch_col="batch", continuous_cols=["age", "sex"]
        )
    return np.asarray(found["data"].T)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    show(rows(parser.parse_args().repeats))


if __name__ == "__main__":
    main()
