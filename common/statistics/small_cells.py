"""Which cells of a table may be shown, so that no small one is seen or follows from the others.

A cell of 1 to `minimum` - 1 patients is small; an empty one is not. How many patients a class has
is known from enrolment, and so are a site's results over all of them. Where one cell were withheld
it would follow by subtraction, and where the next smallest went with it, whoever knows that rule
could still narrow both down. So counts that add up to something known are shown all, or none of
them: what is withheld then tells only that one of them is small.
"""

from __future__ import annotations

import numpy as np

from common.statistics.checks import Array


def is_small(count: int, minimum: int) -> bool:
    """Say whether a cell is small."""
    return 0 < count < minimum


def may_show(counts: Array, minimum: int) -> bool:
    """Say whether counts that add up to something known may be shown: none of them is small."""
    held = np.asarray(counts)
    return not bool(((held > 0) & (held < minimum)).any())


def rounded(value: float, step: float) -> float:
    """Round to multiples of `step`.

    A mean of whole numbers to its last digit is a fraction whose denominator is how many patients
    it is over; so is a quartile within its bin, of how many share the bin.
    """
    return round(float(np.rint(value / step) * step), 12)
