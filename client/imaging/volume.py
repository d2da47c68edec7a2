"""A three-dimensional image as the readers hand it on, and the choice of a frame of a 4-D file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt

from common.errors import ImageError


@dataclass(frozen=True, eq=False)
class Volume:
    """One three-dimensional image.

    `array` (z, y, x), the file's own type of number; `spacing` (x, y, z) mm; `origin` (x, y, z) mm;
    `direction` nine cosines, row by row. `note` says what was mended while reading, or is None.
    """

    array: npt.NDArray[Any]
    spacing: tuple[float, ...]
    origin: tuple[float, ...]
    direction: tuple[float, ...]
    note: str | None = None


def check_frame(path: Path, frames: int, frame: int | None) -> int:
    """Return the index to read along the fourth axis, or raise `ImageError` saying why not."""
    if frame is None and frames > 1:
        raise ImageError(
            f"{path} holds {frames} frames and none is chosen.",
            f"Give the frame of end-diastole, 0 to {frames - 1}, in the cohort table.",
        )
    if frame is not None and not 0 <= frame < frames:
        raise ImageError(
            f"{path} holds {frames} frame(s), so frame {frame} does not exist.",
            f"Frames count from 0: choose 0 to {frames - 1}.",
        )
    return frame or 0
