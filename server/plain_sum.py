"""The sum of answers that came as they are: field by field, as secure summation would give it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

import numpy as np

from common.errors import RunError
from common.message_parts import message_of, parts_of
from common.secure_sum import layout as layouts

Answer = TypeVar("Answer")


def plain_sum(kind: type[Answer], answers: Iterable[Answer]) -> Answer:
    """Add answers up, one at a time, in their order; float32 arrays in float64.

    Raises
    ------
    NotSummable
        An answer holds something else than numbers, or has another layout than the first.
    RunError
        There are none.
    """
    layout: list[layouts.Entry] = []
    totals: list[np.ndarray] = []
    for answer in answers:
        scalars, arrays = parts_of(answer)
        own = layouts.layout_of(scalars, arrays)
        vectors = layouts.flattened(own, scalars, arrays)
        if not totals:
            layout, totals = own, [vector.astype(np.float64) for vector in vectors]
        elif own != layout:
            raise layouts.NotSummable(
                "An answer has another layout than those of the other sites.",
                "Check that all sites run the same version and study.",
            )
        else:
            totals = [one + vector for one, vector in zip(totals, vectors, strict=True)]
    if not totals:
        raise RunError("There are no answers to add up.", "At least one site must answer.")
    return message_of(kind, *layouts.restored(layout, *totals))
