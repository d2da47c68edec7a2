"""Answers under masks, and the sum of them: the two halves of secure summation.

`hide` is what a site does, `Adding` what the coordinator does. The masks cancel only in the sum
over all sites of the question: before the last of them is in, what the coordinator holds is noise.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from common.message_parts import message_of, parts_of
from common.messages import Hidden
from common.secure_sum import layout as layouts
from common.secure_sum.fixed_point import LEVELS, STATISTICS, WEIGHTS, DividedRange, FixedPoint
from common.secure_sum.layout import Entry, NotSummable
from common.secure_sum.masks import masked
from common.secure_sum.ring import Ring, add

Answer = TypeVar("Answer")

_FORMATS: tuple[tuple[FixedPoint | DividedRange, bytes], ...] = (
    (STATISTICS, b"statistics"),
    (WEIGHTS, b"weights"),
    (LEVELS, b"levels"),
)


def hide(
    answer: object, name: str, secrets: Mapping[str, bytes], context: bytes, fewest: int
) -> Hidden:
    """Put a site's answer under the masks that it shares with its peers.

    Parameters
    ----------
    name
        Of the site.
    secrets
        What it shares with each of its peers in this sum, by their names.
    context
        What the masks are bound to, see `common.secure_sum.masks.context_of`.
    fewest
        How many sites must take part, the site included.

    Raises
    ------
    NotSummable
        The answer holds something else than numbers.
    OutOfRange
        A number is not finite, or too large for its format.
    TooFewToHide
        There are fewer than `fewest` sites, or than three.
    """
    scalars, arrays = parts_of(answer)
    layout = layouts.layout_of(scalars, arrays)
    vectors: tuple[NDArray[np.number], ...] = layouts.flattened(layout, scalars, arrays)
    terms = len(secrets) + 1
    hidden = [
        masked(form.encode(vector, terms), name, secrets, context + purpose, fewest)
        for (form, purpose), vector in zip(_FORMATS, vectors, strict=True)
    ]
    return Hidden(layouts.written(layout), *hidden)  # type: ignore[arg-type]


def require_layout(hidden: Hidden) -> list[Entry]:
    """Read an answer's layout, and see that its vectors are as long as it says.

    Raises
    ------
    NotSummable
        They are not, or there is no layout.
    """
    layout = layouts.read(hidden.layout)
    shapes = tuple(
        (size, form.limbs) for size, (form, _) in zip(layouts.sizes(layout), _FORMATS, strict=True)
    )
    if tuple(one.shape for one in _vectors_of(hidden)) != shapes:
        raise NotSummable(
            "The vectors of an answer under masks are not as long as its layout says.",
            "Check that both sides run the same version.",
        )
    return layout


class Adding:
    """Adds answers under masks, one at a time; the total is read when all are in."""

    def __init__(self) -> None:
        self._layout = ""
        self._entries: list[Entry] = []
        self._totals: list[Ring] = []

    def add(self, hidden: Hidden) -> None:
        """Add one site's answer.

        Raises
        ------
        NotSummable
            Its layout is not that of the others.
        """
        entries = require_layout(hidden)
        if not self._totals:
            self._layout, self._entries = hidden.layout, entries
            self._totals = _vectors_of(hidden)
        elif hidden.layout != self._layout:
            raise NotSummable(
                "An answer under masks has another layout than those of the other sites.",
                "Check that all sites run the same version and study.",
            )
        else:
            pairs = zip(self._totals, _vectors_of(hidden), strict=True)
            self._totals = [add(*pair) for pair in pairs]

    def total(self, kind: type[Answer]) -> Answer:
        """Read the sum over all sites, as one answer.

        Raises
        ------
        NotSummable
            Nothing was added.
        RunError
            The layout is not that of such an answer.
        """
        if not self._totals:
            raise NotSummable("There is nothing to add up.", "At least three sites must answer.")
        statistics, weights, levels = (
            form.decode(one) for (form, _), one in zip(_FORMATS, self._totals, strict=True)
        )
        short = weights.astype(np.float32)
        return message_of(kind, *layouts.restored(self._entries, statistics, short, levels))


def _vectors_of(hidden: Hidden) -> list[Ring]:
    return [hidden.statistics, hidden.weights, hidden.levels]
