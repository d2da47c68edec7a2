"""The smallest box around a mask, and what of an image is needed to filter inside it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Box:
    """Rows `top` to `bottom` and columns `left` to `right`, the last ones excluded, in pixels."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def inside(self) -> tuple[slice, slice]:
        """Index of the box into an array (y, x)."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def is_plane(self) -> bool:
        """Say whether the box is at least two pixels high and wide: else there is no texture."""
        return self.bottom - self.top > 1 and self.right - self.left > 1

    def wider(self, margin: int, shape: tuple[int, int]) -> Box:
        """Return the box with `margin` pixels more on each side, cut at the edges of `shape`."""
        return Box(
            max(self.top - margin, 0),
            min(self.bottom + margin, shape[0]),
            max(self.left - margin, 0),
            min(self.right + margin, shape[1]),
        )

    def even(self, margin: int, shape: tuple[int, int]) -> Box | None:
        """Return the box with `margin` pixels more, or one below and right of it for even sides.

        None where it would reach over the edges of `shape`.
        """
        height, width = self.bottom - self.top, self.right - self.left
        outer = Box(
            self.top - margin,
            self.bottom + margin + height % 2,
            self.left - margin,
            self.right + margin + width % 2,
        )
        beyond = min(outer.top, outer.left) < 0
        return None if beyond or outer.bottom > shape[0] or outer.right > shape[1] else outer

    def within(self, outer: Box) -> tuple[slice, slice]:
        """Index of this box into an array that holds `outer` only."""
        return (
            slice(self.top - outer.top, self.bottom - outer.top),
            slice(self.left - outer.left, self.right - outer.left),
        )


def box_around(mask: Mask) -> Box:
    """Return the smallest box that holds the pixels of `mask` (y, x), which has at least one."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return Box(int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1)
