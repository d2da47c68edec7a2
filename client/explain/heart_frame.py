"""The myocardium's own coordinates: which segment of the AHA model a pixel of a slice belongs to.

Circumference: angles around the ring's centre, counted from the middle of the septum: midway
between the insertions of the right ventricle. The septum spans 120 degrees, so that the anterior
insertion parts segment 1 from segment 2. Without a right ventricle in the mask the
septum is taken to be at the image's left, as short-axis slices are shown.

Long axis: thirds of the stack, base to apex. Of a stack of one or two slices nobody can tell which
third they are of, so they count as mid-ventricular.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from common.aha import APICAL, BASAL, MIDDLE

Mask = npt.NDArray[np.bool_]
Labels = npt.NDArray[Any]

_SIXTHS = (1, 0, 5, 4, 3, 2)
"""Segments at 0, 60, ... degrees from the septum's middle towards the anterior wall."""


_REACH = 2
"""Pixels within which the right ventricle counts as bordering on the myocardium."""


@dataclass(frozen=True)
class HeartFrame:
    """How a heart lies in its image.

    `septum` is the angle of the septum's middle in the image, atan2(down, across), radians; `turn`
    is 1 where the anterior wall follows at greater angles, else -1; `from_right_ventricle` is False
    where the septum is assumed.
    """

    septum: float
    turn: int
    from_right_ventricle: bool


def heart_frame(
    labels: Labels,
    myocardium: int,
    spacing_xy: tuple[float, float],
    direction: tuple[float, ...],
) -> HeartFrame:
    """Find the frame of a heart.

    Parameters
    ----------
    labels : (z, y, x)
        The mask as drawn.
    spacing_xy
        Millimetres in x and y.
    direction
        Nine cosines, row by row, of the LPS patient system: they say which wall is anterior, the
        one that lies more to the front and the head.
    """
    wall = labels == myocardium
    right = _right_ventricle(labels, myocardium)
    towards = np.zeros(2) if right is None else _towards_septum(wall, right, spacing_xy)
    found = bool(np.linalg.norm(towards) > 0.0)
    across, down = towards if found else (-1.0, 0.0)
    septum = float(np.arctan2(down, across))
    axes = np.asarray(direction, np.float64).reshape(3, 3)
    next_wall = axes[:, :2] @ np.array([-np.sin(septum), np.cos(septum)])
    forward_and_up = next_wall @ np.array([0.0, -1.0, 1.0])
    return HeartFrame(septum, 1 if forward_and_up > 0.0 else -1, found)


def long_axis_thirds(wall: Mask) -> npt.NDArray[np.int64]:
    """Say which third of the long axis each slice of a stack (z, y, x) is of: (z,), -1 for none.

    The base is the end at which the left ventricle is wider.
    """
    thirds = np.full(len(wall), -1, np.int64)
    used = np.flatnonzero(wall.any(axis=(1, 2)))
    if used.size < 3:
        thirds[used] = MIDDLE
        return thirds
    width = [_radius(wall[z]) for z in used]
    place = (np.arange(used.size) + 0.5) / used.size
    from_base = place if np.polyfit(place, width, 1)[0] <= 0.0 else 1.0 - place
    thirds[used] = np.digitize(from_base, [1 / 3, 2 / 3])
    return thirds


def segments(wall: Mask, third: int, frame: HeartFrame) -> npt.NDArray[np.int64]:
    """Give each pixel of a slice (y, x) its segment, 0 to 15; -1 outside the myocardium.

    Pixels are square.
    """
    found = np.full(wall.shape, -1, np.int64)
    if not wall.any():
        return found
    down, across = np.nonzero(wall)
    centre = _middle_of(wall)
    angle = np.arctan2(down - centre[1], across - centre[0])
    away = np.degrees(frame.turn * (angle - frame.septum))
    if third == APICAL:
        quarter = np.floor((away + 45.0) / 90.0).astype(np.int64) % 4
        found[wall] = 12 + np.array([1, 0, 3, 2])[quarter]
    else:
        sixth = np.floor(away / 60.0).astype(np.int64) % 6
        found[wall] = (0 if third == BASAL else 6) + np.array(_SIXTHS)[sixth]
    return found


def _towards_septum(
    wall: Mask, right: Mask, spacing_xy: tuple[float, float]
) -> npt.NDArray[np.float64]:
    """Point (x, y) to the middle of where the right ventricle borders on the myocardium.

    That arc runs from one insertion to the other. Every bordering pixel of the stack counts as
    much; where the two never touch, the right ventricle's centre shows the way.
    """
    from scipy.ndimage import binary_dilation

    bordering, centres = np.zeros(2), np.zeros(2)
    for z in np.flatnonzero(wall.any(axis=(1, 2)) & right.any(axis=(1, 2))):
        middle = _middle_of(wall[z])
        down, across = np.nonzero(wall[z] & binary_dilation(right[z], iterations=_REACH))
        offsets = (np.stack([across, down], axis=1) - middle) * spacing_xy
        lengths = np.linalg.norm(offsets, axis=1, keepdims=True)
        bordering += (offsets / np.maximum(lengths, 1e-9)).sum(axis=0)
        away = (_centre(right[z]) - middle) * spacing_xy
        centres += away / max(float(np.linalg.norm(away)), 1e-9)
    return bordering if np.linalg.norm(bordering) > 0.0 else centres


def _right_ventricle(labels: Labels, myocardium: int) -> Mask | None:
    """Find the label of the right ventricle: the one that is not inside the myocardium.

    Archives number the ventricles either way (M&Ms 1 left, ACDC 3 left), so it is told by place.
    """
    wall = labels == myocardium
    best, farthest = None, 1.0
    for label in np.setdiff1d(np.unique(labels), [0, myocardium]):
        other = labels == label
        both = np.flatnonzero(wall.any(axis=(1, 2)) & other.any(axis=(1, 2)))
        if not both.size:
            continue
        away = [
            np.linalg.norm(_centre(other[z]) - _centre(wall[z])) / _radius(wall[z]) for z in both
        ]
        if np.median(away) > farthest:
            best, farthest = other, float(np.median(away))
    return best


def _centre(mask: Mask) -> npt.NDArray[np.float64]:
    """Give the centroid (x, y) in pixels."""
    down, across = np.nonzero(mask)
    return np.array([across.mean(), down.mean()])


def _radius(mask: Mask) -> float:
    """Give the mean distance of a mask's pixels from their centroid."""
    down, across = np.nonzero(mask)
    centre = _centre(mask)
    return max(float(np.hypot(across - centre[0], down - centre[1]).mean()), 1e-9)


def _middle_of(wall: Mask) -> npt.NDArray[np.float64]:
    """Give the centre (x, y) of the ring: that of what it encloses, where it is closed.

    A thick septum would pull the myocardium's own centroid towards itself.
    """
    from scipy.ndimage import binary_fill_holes

    cavity = np.asarray(binary_fill_holes(wall)) & ~wall
    return _centre(cavity) if cavity.sum() >= 0.1 * wall.sum() else _centre(wall)
