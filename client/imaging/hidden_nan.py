"""NaN in NIfTI files, which ITK replaces by 0 without a word while it reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np


def count_hidden_nan(path: Path, frame: int | None = None) -> int:
    """Count the NaN and infinite voxels that a NIfTI file stores; 0 for any other file.

    `frame` limits the count to one index of the fourth axis, where there is one. Files of whole
    numbers are not read. A file that nibabel cannot read gives 0: reading it has its own fault.
    """
    if not path.name.lower().endswith((".nii", ".nii.gz", ".hdr", ".img")):
        return 0
    import nibabel as nib

    try:
        stored: Any = nib.load(path)
        if not np.issubdtype(stored.get_data_dtype(), np.floating):
            return 0
        held = stored.dataobj
        one = frame is not None and len(held.shape) == 4 and frame < held.shape[3]
        values = np.asarray(held[..., frame] if one else held)
    except Exception:  # whatever a damaged file provokes
        return 0
    return int(values.size - np.count_nonzero(np.isfinite(values)))
