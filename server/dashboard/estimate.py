"""How long is left, from what was measured in this run and from nothing else.

Only training has questions whose number is known and whose length repeats. So the estimate is for
training alone, between the quartiles of its last rounds, and says which stages it leaves out.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from server.dashboard.snapshot import Left

FEWEST = 2
"""Rounds that must have been measured before anything is said."""


def left_of_training(
    ends: Sequence[float], rounds: int, now: float, later: tuple[str, ...]
) -> Left | None:
    """Estimate the seconds that are left.

    Parameters
    ----------
    ends
        When the training began or went on, and when each of its last rounds ended.
    rounds
        Rounds that are left, the one under way included.
    later
        Stages after the training.

    Returns
    -------
    Left or None
        None with fewer than two rounds measured, or when no round is left.
    """
    lengths = [after - before for before, after in pairwise(ends)]
    if len(lengths) > FEWEST:
        # The first round after a start also loads, opens and caches.
        lengths = lengths[1:]
    if len(lengths) < FEWEST or rounds < 1:
        return None
    low, high = (float(value) for value in np.quantile(lengths, (0.25, 0.75)))
    under_way = max(0.0, now - ends[-1])
    return Left(
        (rounds - 1) * low + max(0.0, low - under_way),
        (rounds - 1) * high + max(0.0, high - under_way),
        rounds,
        len(lengths),
        "train",
        later,
    )
