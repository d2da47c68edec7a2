"""Real numbers as whole ones of a ring, with so many bits behind the point.

A number x becomes round(x 2^f). The sum of up to K such numbers is exact; what is lost is the
rounding of each, at most 2^-(f+1). A number that could make the sum of K wrap round is refused
before anything is sent: a sum that wraps would be wrong without a sign of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from common.errors import MyoFedError
from common.secure_sum.ring import LIMB_BITS, Ring, blocks, is_negative, negate

MACHINE_BITS = 64
"""The machine's own whole numbers are used up to here: a network has millions of weights."""

_LIMB = 2.0**LIMB_BITS


class OutOfRange(MyoFedError):
    """A number is not finite, or too large for its fixed-point format."""

    code = "out-of-range"
    public = "A number of the site's does not fit into the format of secure summation."


@dataclass(frozen=True)
class FixedPoint:
    """A format: `bits` in all (32, 64 or 96), `fraction` of them behind the point."""

    bits: int
    fraction: int

    @property
    def limbs(self) -> int:
        """Number of 32-bit words of an element."""
        return self.bits // LIMB_BITS

    def largest(self, terms: int) -> float:
        """Give the bound below which the size of each of `terms` numbers must stay.

        A step less than what the format holds: numbers are rounded before they are summed.
        """
        return float(2.0 ** (self.bits - 1) / terms - 1.0) * 2.0**-self.fraction

    def encode(self, values: NDArray[np.number], terms: int) -> Ring:
        """Encode numbers (n,) of which up to `terms` vectors will be summed; (n, L).

        Raises
        ------
        OutOfRange
            A number is not finite or too large; its place is named, its value is not.
        """
        found = np.empty((values.size, self.limbs), np.uint32)
        for rows in blocks(values.size):
            numbers = np.asarray(values[rows], np.float64)
            if not (np.abs(numbers) < self.largest(terms)).all():  # False for NaN
                raise self._out_of_range(values, terms)
            self._write(np.rint(numbers * 2.0**self.fraction), found[rows])
        return found

    def _write(self, whole: NDArray[np.float64], words: NDArray[np.uint32]) -> None:
        """Write whole numbers (n,) as words (n, L)."""
        if self.bits <= MACHINE_BITS:
            words[:] = whole.astype("<i8").view("<u4").reshape(-1, 2)[:, : self.limbs]
            return
        for limb in range(self.limbs):
            # Powers of two: neither the division nor the difference rounds.
            above = np.floor(whole / _LIMB)
            words[:, limb] = (whole - above * _LIMB).astype(np.uint32)
            whole = above

    def _out_of_range(self, values: NDArray[np.number], terms: int) -> OutOfRange:
        beyond = ~(np.abs(np.asarray(values, np.float64)) < self.largest(terms))
        return OutOfRange(
            f"Number {int(np.flatnonzero(beyond)[0])} of {values.size} is not finite, or not below "
            f"{self.largest(terms):.3g}; {int(beyond.sum())} in all.",
            "Look for an outlier among the site's values.",
        )

    def decode(self, total: Ring) -> NDArray[np.float64]:
        """Decode a sum (n, L); numbers (n,)."""
        if self.bits <= MACHINE_BITS:
            whole = np.ascontiguousarray(total, "<u4").view(f"<i{self.bits // 8}")[:, 0]
            return np.asarray(whole * 2.0**-self.fraction)
        negative = is_negative(total)
        size = total.copy()
        size[negative] = negate(total[negative])
        found = np.zeros(total.shape[0])
        for limb in reversed(range(self.limbs)):
            # From the largest on: at most one of these roundings is more than zero.
            found = found * _LIMB + size[:, limb]
        return np.where(negative, -found, found) * 2.0**-self.fraction


STATISTICS = FixedPoint(96, 64)
"""Sizes below 2^31 / K, to 3e-20. With 40 bits behind the point the sum of squares of a feature
whose standard deviation is 0.001 would be exact to 1e-8 of itself only."""
WEIGHTS = FixedPoint(32, 28)
"""Sizes below 8 / K, to 2e-9: for shares of the change of a network's weights."""


@dataclass(frozen=True)
class DividedRange:
    """Whole numbers of 8 bits, of a range that the sites have divided among themselves beforehand.

    Each number must be within `most` of zero; that their sum is too is the sites' care, see
    `common.coarse`. One value is kept free: a sum that wraps shows no sign of it.
    """

    most: int = 126
    limbs: int = 1

    def encode(self, values: NDArray[np.number], _terms: int) -> Ring:
        """Encode whole numbers (n,); (n, 1).

        Raises
        ------
        OutOfRange
            A number is beyond the range.
        """
        if values.max(initial=0) > self.most or values.min(initial=0) < -self.most:
            raise OutOfRange(
                f"A number is beyond {self.most}, the end of the range.",
                "The site's share of the range was reckoned wrongly. Report it.",
            )
        return values.astype(np.int8).view(np.uint8).reshape(-1, 1)

    def decode(self, total: Ring) -> NDArray[np.int8]:
        """Decode a sum (n, 1); whole numbers (n,)."""
        return total[:, 0].view(np.int8)


LEVELS = DividedRange()
"""For the levels of a change of a network's weights."""
