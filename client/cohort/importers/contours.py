"""Polygons drawn on a frame, and the pixels that lie inside them."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from common.errors import ImageError


def read_polygon(file: Path) -> NDArray[np.float64]:
    """Read a contour file, `x y` on each line, as an array (vertices, 2).

    Raises:
        ImageError: a line is not two numbers, or there are fewer than three vertices.
    """
    points = []
    for number, line in enumerate(file.read_text("utf-8", "replace").splitlines(), 1):
        if not line.strip():
            continue
        try:
            x, y = (float(text) for text in line.split())
        except ValueError:
            x = y = math.nan
        if not (math.isfinite(x) and math.isfinite(y)):
            raise ImageError(
                f"{file.name}, line {number}: {line.strip()[:40]!r} is not a point 'x y'.",
                "Restore the contour file.",
            )
        points.append((x, y))
    if len(points) < 3:
        raise ImageError(
            f"{file.name} has {len(points)} points, which enclose nothing.",
            "Restore the contour file.",
        )
    return np.array(points)


def share_inside(polygon: NDArray[np.float64], shape: tuple[int, int]) -> float:
    """Give the share of a polygon's vertices that lie on an image of (rows, columns)."""
    x, y = polygon.T
    return float(((x >= 0) & (x <= shape[1]) & (y >= 0) & (y <= shape[0])).mean())


def rasterise(polygon: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Give the pixels whose centres lie inside a polygon (even-odd rule).

    Coordinates count from the outer corner of the first pixel, so that its centre is (0.5, 0.5).
    On Sunnybrook this convention puts the contours where cavity and myocardium differ most.
    """
    rows = np.arange(shape[0]) + 0.5
    columns = np.arange(shape[1]) + 0.5
    inside = np.zeros(shape, dtype=bool)
    following = np.roll(polygon, -1, axis=0)
    for (x1, y1), (x2, y2) in zip(polygon, following, strict=True):
        if y1 == y2:
            continue
        crossed = np.flatnonzero((y1 > rows) != (y2 > rows))
        at = x1 + (rows[crossed] - y1) * (x2 - x1) / (y2 - y1)
        inside[crossed] ^= columns[None, :] < at[:, None]
    return inside
