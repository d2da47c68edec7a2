"""Cut a cohort into parts, for experiments that make several sites of one centre."""

from __future__ import annotations

import random
from collections.abc import Mapping

from common.errors import CohortError


def take_part(labels: Mapping[str, str], part: tuple[int, int] | None, seed: int = 0) -> set[str]:
    """Choose the patients of part k of n; `labels` maps each patient to its label.

    The parts are disjoint, cover everyone, and have equally many of each label (to within one).
    They depend on the patients and the seed only, not on the order of `labels`.

    Raises:
        CohortError: k is not from 1 to n.
    """
    if part is None:
        return set(labels)
    k, n = part
    if not 1 <= k <= n:
        raise CohortError(f"There is no part {k} of {n}.", f"Give a part from 1/{n} to {n}/{n}.")
    dealt = []
    for label in sorted(set(labels.values())):
        group = sorted(patient for patient, held in labels.items() if held == label)
        random.Random(f"{seed}/{label}").shuffle(group)
        dealt += group
    return set(dealt[k - 1 :: n])
