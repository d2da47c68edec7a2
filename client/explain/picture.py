"""Pictures of a patient's slices: the myocardium outlined, and the network's heat laid over."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Stack = npt.NDArray[np.float32]

OUTLINE: Final = "#35d0ff"
COLOURS: Final = "inferno"
_COLUMNS = 6
_WIDTH = 7.05
"""Of a page between its margins, inches."""
_GAP, _CAPTION = 0.04, 0.17
"""Between slices, and above those that have a caption; inches."""


def slices_png(images: Stack, masks: Stack, levels: list[int], heat: Stack | None = None) -> bytes:
    """Draw slices (n, crop, crop) in rows, the myocardium outlined; with heat, again below it.

    Parameters
    ----------
    levels
        Index z of each slice in its file, for the captions.
    heat : (n, crop, crop), optional
        0 or above. One colour scale for all slices, so that they can be compared.
    """
    figure = _figure(images, masks, levels, heat)
    kept = io.BytesIO()
    figure.savefig(kept, format="png", dpi=170, facecolor="white")
    return kept.getvalue()


def write_heat_picture(
    path: Path, title: str, images: Stack, masks: Stack, levels: list[int], heat: Stack
) -> None:
    """Write a patient's slices with the heat laid over, as PNG."""
    figure = _figure(images, masks, levels, heat, title)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="png", dpi=170, facecolor="white")


def _figure(
    images: Stack, masks: Stack, levels: list[int], heat: Stack | None, title: str = ""
) -> Figure:
    from matplotlib.figure import Figure

    count = len(images)
    columns = min(count, _COLUMNS)
    side = min(1.75, (_WIDTH - (columns - 1) * _GAP) / columns)
    band = _CAPTION + side + (0.0 if heat is None else side + _GAP)
    bands = -(-count // columns)
    head, foot = 0.55 if title else 0.02, 0.02 if heat is None else 0.62
    wide = columns * side + (columns - 1) * _GAP
    width = max(wide + 0.04, 4.3 if heat is not None else 0.0)
    total = head + bands * band + (bands - 1) * _GAP + foot
    figure = Figure(figsize=(width, total))
    view, top = _window(masks), _top(heat)

    def axes_at(column: int, down: float) -> Any:
        left = (width - wide) / 2 + column * (side + _GAP)
        place = (left / width, 1.0 - (down + side) / total, side / width, side / total)
        return figure.add_axes(place)

    for number in range(count):
        row, column = divmod(number, columns)
        down = head + row * (band + _GAP) + _CAPTION
        axes = axes_at(column, down)
        _slice(axes, images[number][view], masks[number][view])
        axes.set_title(f"slice {levels[number]}", fontsize=7, pad=2, color="#333333")
        if heat is not None:
            axes = axes_at(column, down + side + _GAP)
            _slice(axes, images[number][view], masks[number][view])
            _lay_over(axes, heat[number][view], top)
    if title:
        figure.suptitle(title, fontsize=8.5, y=1 - 0.1 / total, va="top", linespacing=1.4)
    if heat is not None:
        _scale(figure, width, total)
    return figure


def _window(masks: Stack) -> tuple[slice, slice]:
    """Cut the crop to the heart and a margin, the same for all slices: a square."""
    down, across = np.nonzero(masks.max(axis=0) > 0.5)
    side = masks.shape[-1]
    half = max(np.ptp(down), np.ptp(across)) / 2 + 22
    middle = ((down.min() + down.max()) / 2, (across.min() + across.max()) / 2)
    low = [int(np.clip(m - half, 0, max(side - 2 * half, 0))) for m in middle]
    span = min(round(2 * half), side)
    return slice(low[0], low[0] + span), slice(low[1], low[1] + span)


def _slice(axes: Any, image: Stack, mask: Stack) -> None:
    axes.imshow(image, cmap="gray", vmin=0.0, vmax=1.0, interpolation="lanczos")
    axes.contour(mask, levels=[0.5], colors=[OUTLINE], linewidths=0.8)
    axes.set_axis_off()


def _lay_over(axes: Any, heat: Stack, top: float) -> None:
    """Let the image through where there is no heat, and cover it where there is most."""
    share = np.clip(heat / top, 0.0, 1.0)
    axes.imshow(share, cmap=COLOURS, vmin=0.0, vmax=1.0, alpha=0.85 * share)


def _top(heat: Stack | None) -> float:
    """Give the heat at which the scale ends: the 99.9th percentile, so that no pixel sets it."""
    if heat is None:
        return 1.0
    return max(float(np.percentile(heat, 99.9)), 1e-12)


def _scale(figure: Figure, width: float, total: float) -> None:
    """Draw the colour scale at the foot of a figure whose sides are in inches."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    place = ((width - 2.2) / 2 / width, 0.42 / total, 2.2 / width, 0.09 / total)
    bar = figure.colorbar(
        ScalarMappable(Normalize(0.0, 1.0), COLOURS),
        cax=figure.add_axes(place),
        orientation="horizontal",
    )
    bar.set_ticks([0.0, 0.5, 1.0], labels=["none", "half", "most in this patient"])
    bar.ax.tick_params(labelsize=7, length=2, pad=2)
    bar.outline.set_linewidth(0.4)
    figure.text(
        0.5, 0.05 / total, "what speaks for a positive deep score (Grad-CAM, third block)",
        ha="center", va="bottom", fontsize=7, color="#333333",
    )  # fmt: skip
