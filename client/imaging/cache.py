"""What was measured on a case, kept on disk under a hash of everything that it depends on.

The key covers the bytes of the image and mask files, the choice of frame, label and slices, both
recipes and the versions of the libraries. A changed pixel, recipe or library is another key, so an
entry never goes stale; a damaged one is noticed (checksums) and measured again.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tempfile
import zipfile
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from client.imaging.preprocess import Preprocessing
from client.imaging.radiomics import RadiomicsRecipe
from common.feature_names import all_names

LAYOUT: Final = 1
"""Raise it when the meaning of an entry, or the code that computes one, changes."""

LIBRARIES: Final = ("numpy", "pyradiomics", "PyWavelets", "SimpleITK")
MEMBERS: Final = ("features", "slices", "areas_mm2", "images", "masks", "notes")


@dataclass(frozen=True, eq=False)
class Entry:
    """All that is kept of one case: n slices.

    `features` (n, 939) float64; `slices` (n,) indices z; `areas_mm2` (n,) of the myocardium;
    `images` (n, crop, crop) float32 and `masks` (n, crop, crop) bool, the network's crops;
    `notes`: what was mended while reading.
    """

    features: npt.NDArray[np.float64]
    slices: npt.NDArray[np.int64]
    areas_mm2: npt.NDArray[np.float64]
    images: npt.NDArray[np.float32]
    masks: npt.NDArray[np.bool_]
    notes: tuple[str, ...] = ()


def case_key(
    image: Path,
    mask: Path,
    frame: int | None,
    myocardium: int,
    slices: tuple[int, ...] | None,
    preprocessing: Preprocessing,
    recipe: RadiomicsRecipe,
    perturbed: str = "",
) -> str:
    """Return the key of a case, 64 hexadecimal digits. Raises `OSError` for unreadable files."""
    content = {
        "layout": LAYOUT,
        "image": _digest(image),
        "mask": _digest(mask),
        "frame": frame,
        "myocardium": myocardium,
        "slices": slices,
        "preprocessing": asdict(preprocessing),
        "radiomics": asdict(recipe),
        "versions": library_versions(),
    }
    if perturbed:
        # Absent otherwise, so that what was measured before there was such a thing is still found.
        content["perturbed"] = perturbed
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


@lru_cache(maxsize=1)
def library_versions() -> dict[str, str]:
    """Versions that can change a value: in full, and NumPy's up to major.minor."""
    found = {name: version(name) for name in LIBRARIES}
    found["numpy"] = ".".join(found["numpy"].split(".")[:2])
    return found


def entry_path(folder: Path, key: str) -> Path:
    """Say where the entry of `key` lies, whether or not it exists."""
    return folder / f"{key}.npz"


def save(folder: Path, key: str, entry: Entry) -> Path:
    """Write an entry whole or not at all: to a temporary file first, then moved into place."""
    folder.mkdir(parents=True, exist_ok=True)
    members = {name: getattr(entry, name) for name in MEMBERS[:-1]}
    handle, name = tempfile.mkstemp(dir=folder, prefix=".writing-", suffix=".npz")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as stream:
            np.savez(stream, notes=np.array(entry.notes, dtype=np.str_), **members)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(entry_path(folder, key))
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return entry_path(folder, key)


def load(folder: Path, key: str) -> Entry | None:
    """Read an entry whole, checksums included; None where it is absent or damaged."""
    try:
        return read_entry(entry_path(folder, key))
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, NotImplementedError):
        return None


def read_entry(path: Path) -> Entry:
    """Read the entry in `path`. Raises `OSError`, `ValueError` or `BadZipFile` where damaged."""
    with zipfile.ZipFile(path) as archive:
        raw: dict[str, Any] = {
            name: np.load(io.BytesIO(archive.read(f"{name}.npy")), allow_pickle=False)
            for name in MEMBERS
        }
    notes = tuple(str(note) for note in raw.pop("notes"))
    entry = Entry(**raw, notes=notes)
    count = len(entry.slices)
    lengths = {len(raw[name]) for name in raw}
    if lengths != {count} or entry.features.shape != (count, len(all_names())):
        raise ValueError(f"{path} holds arrays that do not belong together")
    return entry


def _digest(path: Path) -> str:
    """Hash a file's bytes, or those of a folder's files in the order of their names."""
    total = hashlib.sha256()
    files = sorted(p for p in path.iterdir() if p.is_file()) if path.is_dir() else [path]
    for file in files:
        with file.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").digest()
        total.update(file.name.encode() + b"\0" + digest if path.is_dir() else digest)
    return total.hexdigest()
