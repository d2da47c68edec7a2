"""A picture per patient of where the network looks; pictures stay at the site."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from client.explain.gradcam import Heat, ensemble_heat
from client.explain.picture import write_heat_picture
from client.predict import Predictions
from common.errors import WrongUse
from common.release import Release


def heat_of(release: Release, found: Predictions, number: int) -> Heat:
    """Compute the heat of one patient's slices, (k, crop, crop); see `ensemble_heat`."""
    own = np.flatnonzero(found.rows.patient == number)
    return ensemble_heat(release.folds, found.rows, own, release.study)


def write_pictures(release: Release, found: Predictions, folder: Path) -> int:
    """Write ``ID.png`` for each patient; say how many.

    Raises
    ------
    WrongUse
        A picture exists already, or an id is no file's name.
    """
    paths = [picture_path(folder, one.patient_id) for one in found.patients]
    for number, path in enumerate(paths):
        write_picture(release, found, number, heat_of(release, found, number), path)
    return len(paths)


def picture_path(folder: Path, patient_id: str) -> Path:
    """Say where a patient's picture goes.

    Raises
    ------
    WrongUse
        It exists already, or the id is no file's name.
    """
    path = folder / f"{patient_id}.png"
    if path.parent != folder or patient_id.startswith("."):
        raise WrongUse(f"The patient id {patient_id} is no name of a file.", "Give it another one.")
    if path.exists():
        raise WrongUse(f"{path} exists already.", "Give another --explain, or move it away first.")
    return path


def write_picture(
    release: Release, found: Predictions, number: int, heat: Heat, path: Path
) -> None:
    """Write the picture of one patient, its deep score in the title."""
    rows = found.rows
    own = np.flatnonzero(rows.patient == number)
    patient = found.patients[number]
    score, threshold = patient.scores["deep"], release.thresholds["deep"]
    title = (
        f"{patient.patient_id}: deep score {score:.3f}, threshold {threshold:.3f}\n"
        "Not a medical device. Where the network looks, not where scar is"
    )
    levels = [rows.origin[slice_][1] for slice_ in own]
    write_heat_picture(path, title, rows.images[own], rows.masks[own], levels, heat)
