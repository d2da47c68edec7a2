"""Is a NIfTI file whole? ITK reads a truncated one without a word and fills up with zeros."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import Any, Final

import nibabel
import numpy as np

from common.errors import ImageError

CHUNK: Final = 1 << 20
EXPORT_AGAIN: Final = "Copy or export the file again from its source and compare the sizes."


def check_complete(path: Path) -> None:
    """Check a file named `.nii` or `.nii.gz`: its length, and the checksum of a compressed one.

    Files of other names pass unread. Raises `ImageError` naming the file.
    """
    if not path.name.lower().endswith((".nii", ".nii.gz")):
        return
    try:
        held = _unpacked_bytes(path) if path.name.lower().endswith(".gz") else path.stat().st_size
        data: Any = nibabel.load(path).dataobj  # type: ignore[attr-defined]
    except (nibabel.filebasedimages.ImageFileError, OSError, EOFError, ValueError, zlib.error) as e:
        raise ImageError(f"{path} is damaged ({str(e).rstrip('.')}).", EXPORT_AGAIN) from e
    needed = int(data.offset) + int(np.prod(data.shape)) * data.dtype.itemsize
    if held < needed:
        raise ImageError(f"{path} breaks off at byte {held} of {needed}.", EXPORT_AGAIN)


def _unpacked_bytes(path: Path) -> int:
    total = 0
    with gzip.open(path) as stream:
        while chunk := stream.read(CHUNK):
            total += len(chunk)
    return total
