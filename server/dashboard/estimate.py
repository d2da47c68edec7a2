"""How long is left, from what was measured, and what of it is not known.

Questions of training and of the search are alike and their number is known, so their pace in this
run tells how long those left take. Of the other stages only an earlier run tells, if there is one
of the same protocol. What neither tells is named as not counted, rather than guessed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from server.dashboard.snapshot import Left

FEWEST = 2
"""Questions that must have been measured before anything is said of their pace."""
CACHED = ("enrol", "describe", "harmonize")
"""Stages whose length depends on what a site has kept from before, so that no other run tells."""


@dataclass(frozen=True)
class Pace:
    """Seconds for the questions that are left of a stage: the quartiles, and from how many."""

    low: float
    high: float
    questions: int
    measured: int


@dataclass(frozen=True)
class Earlier:
    """A finished run of the same protocol at the same sites: its seconds by stage."""

    identity: str = ""
    seconds: Mapping[str, float] = field(default_factory=dict)


def pace_of(ends: Sequence[float], questions: int, now: float) -> Pace | None:
    """Estimate the seconds that the questions of a stage take which are left.

    Parameters
    ----------
    ends
        When the stage began or went on, and when each of its last questions was settled.
    questions
        Questions that are left, the one under way included.

    Returns
    -------
    Pace or None
        None with fewer than two questions measured, or when none is left.
    """
    lengths = [after - before for before, after in pairwise(ends)]
    if len(lengths) > FEWEST:
        # The first one after a start also loads, opens and caches.
        lengths = lengths[1:]
    if len(lengths) < FEWEST or questions < 1:
        return None
    low, high = (float(value) for value in np.quantile(lengths, (0.25, 0.75)))
    under_way = max(0.0, now - ends[-1])
    return Pace(
        (questions - 1) * low + max(0.0, low - under_way),
        (questions - 1) * high + max(0.0, high - under_way),
        questions,
        len(lengths),
    )


def left_of(
    open_stages: Sequence[str], pace: Pace | None, elapsed: float, earlier: Earlier
) -> Left | None:
    """Estimate the seconds that are left of a run.

    Parameters
    ----------
    open_stages
        The stage under way and those after it, in their order.
    pace
        Of the stage under way, where this run tells it.
    elapsed
        Seconds since the stage under way began or went on.
    earlier
        Tells of the stages that this run's pace does not.

    Returns
    -------
    Left or None
        None where nothing is known of the stage under way: what follows it would mislead.
    """
    if not open_stages:
        return None
    first, *later = open_stages
    known = {stage: value for stage, value in earlier.seconds.items() if stage not in CACHED}
    if pace is None and (first not in known or elapsed > known[first]):
        return None
    if pace is None:
        low = high = known[first] - elapsed
    else:
        low, high = pace.low, pace.high
    told = [stage for stage in later if stage in known]
    beyond = sum(known[stage] for stage in told)
    return Left(
        low + beyond,
        high + beyond,
        (first, *told),
        "" if pace is None else first,
        0 if pace is None else pace.questions,
        0 if pace is None else pace.measured,
        earlier.identity if told or pace is None else "",
        tuple(stage for stage in later if stage not in known),
    )
