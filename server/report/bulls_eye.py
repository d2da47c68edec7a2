"""The bull's eye of the left ventricle: sixteen segments of short-axis slices, seen from the apex.

After M. D. Cerqueira et al., Circulation 2002;105:539-542: anterior on top, septum on the left,
basal segments outside, apical ones inside.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from server.report.canvas import ACCENT, INK, MUTED, PAPER, Picture, draw
from server.report.words import decimal

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RINGS = ((1.0, 0.72, 6, 60.0), (0.72, 0.44, 6, 60.0), (0.44, 0.16, 4, 45.0))
"""Basal, mid and apical: outer and inner radius, segments, and where the first begins, degrees."""

SEGMENTS = tuple(
    (outer, inner, first + place * 360.0 / count, first + (place + 1) * 360.0 / count)
    for outer, inner, count, first in RINGS
    for place in range(count)
)
"""Of segments 1 to 16: outer and inner radius, and the angles between which it lies."""

DARKEST = 0.55
"""Opacity of the highest value: text on it stays legible, light or dark."""


def bulls_eye(
    name: str, alternative: str, title: str, values: Sequence[float | None], highest: float
) -> Picture:
    """Draw sixteen values in their segments; a dash where there is none.

    Parameters
    ----------
    highest
        The value that has the full colour, the same in all pictures that stand beside each other.
    """
    from math import cos, radians, sin

    from matplotlib.patches import Wedge

    def paint(axes: Axes) -> None:
        for (outer, inner, begin, end), value in zip(SEGMENTS, values, strict=True):
            shade = 0.0 if value is None or highest <= 0.0 else DARKEST * max(0.0, value) / highest
            place = ((0.0, 0.0), outer, begin, end)
            axes.add_patch(Wedge(*place, width=outer - inner, color=PAPER, linewidth=0))
            axes.add_patch(
                Wedge(*place, width=outer - inner, facecolor=ACCENT, alpha=shade, linewidth=0)
            )
            axes.add_patch(
                Wedge(*place, width=outer - inner, fill=False, edgecolor=MUTED, linewidth=0.7)
            )
            angle, radius = radians((begin + end) / 2.0), (outer + inner) / 2.0
            axes.text(
                radius * cos(angle), radius * sin(angle), decimal(value, 2), color=INK,
                ha="center", va="center", fontsize=8,
            )  # fmt: skip
        for x, y, word in ((0.0, 1.09, "anterior"), (0.0, -1.09, "inferior")):
            axes.text(x, y, word, ha="center", va="center", fontsize=8, color=MUTED)
        for x, word, turned in ((-1.09, "septal", 90), (1.09, "lateral", 270)):
            axes.text(x, 0, word, ha="center", va="center", rotation=turned, fontsize=8,
                      color=MUTED)  # fmt: skip
        axes.set_title(title)
        axes.set_xlim(-1.2, 1.2)
        axes.set_ylim(-1.2, 1.2)
        axes.set_aspect("equal")
        axes.set_axis_off()

    return draw(name, alternative, (3.6, 3.8), paint)
