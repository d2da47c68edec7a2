"""NIfTI files whose direction cosines are not orthonormal, which ITK refuses to read.

Rounding in some converters, or a gantry tilt, leaves the affine's axes a little off right angles.
The nearest orthogonal axes take their place: the orthogonal factor of the polar decomposition.
"""

# mypy: allow-untyped-calls
from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any, Final

import nibabel
import numpy as np
import numpy.typing as npt

from client.imaging.complete import EXPORT_AGAIN
from client.imaging.volume import Volume, check_frame
from common.errors import ImageError

MILLIMETRES: Final = {"meter": 1000.0, "micron": 0.001}
LPS_FROM_RAS: Final = np.diag([-1.0, -1.0, 1.0])


def read_skewed_nifti(path: Path, frame: int | None = None) -> Volume:
    """Read a NIfTI file on the nearest orthogonal axes; array and geometry as ITK would give them.

    Raises `ImageError` for a file that nibabel cannot read either, and for axes that are not a
    basis of space at all.
    """
    try:
        source: Any = nibabel.load(path)
        index = check_frame(path, _frames(source), frame)
        data = source.dataobj[..., index] if len(source.shape) == 4 else source.dataobj[...]
    except (nibabel.filebasedimages.ImageFileError, OSError, EOFError, ValueError, zlib.error) as e:
        raise ImageError(f"{path} cannot be read ({e}).", EXPORT_AGAIN) from e
    scale = MILLIMETRES.get(source.header.get_xyzt_units()[0], 1.0)
    affine = LPS_FROM_RAS @ np.asarray(source.affine, dtype=np.float64)[:3] * scale
    spacing = np.linalg.norm(affine[:, :3], axis=0)
    if not np.isfinite(affine).all() or np.linalg.matrix_rank(affine[:, :3]) < 3:
        raise ImageError(f"{path} has axes that do not span space.", EXPORT_AGAIN)
    skewed = affine[:, :3] / spacing
    direction = nearest_orthogonal(skewed)
    moved = float(np.degrees(np.arccos(np.clip((skewed * direction).sum(0), -1, 1))).max())
    return Volume(
        array=np.ascontiguousarray(np.asarray(data).T),
        spacing=tuple(spacing.tolist()),
        origin=tuple(affine[:, 3].tolist()),
        direction=tuple(direction.ravel().tolist()),
        note=f"{path.name}: axes not at right angles, turned by up to {moved:.2g} degrees",
    )


def count_frames(path: Path) -> int:
    """Count the frames of such a file along its fourth axis; 1 for a 3-D file."""
    return _frames(nibabel.load(path))


def nearest_orthogonal(matrix: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the orthogonal matrix nearest to `matrix` (3, 3) in the Frobenius norm.

    The orthogonal factor U V' of the polar decomposition, from the singular value decomposition
    (Higham, SIAM J Sci Stat Comput 1986;7:1160). The sign of the determinant is kept.
    """
    left, _, right = np.linalg.svd(matrix)
    product: npt.NDArray[np.float64] = left @ right
    return product


def _frames(source: Any) -> int:
    return int(source.shape[3]) if len(source.shape) >= 4 else 1
