"""One patient's folder: which file is the image, which the mask, and which moment it shows.

A mask is a NIfTI file whose name ends in ``mask``, ``gt``, ``seg``, ``label`` or ``labels``; its
image has the same name without that ending, or with ``image``, ``img`` or ``sa`` in its place. A
subfolder with one DICOM series counts as an image too. What is left of the name tells the phase.
"""

from __future__ import annotations

import re
from pathlib import Path

from client.cohort.patients import Case, Patient
from client.imaging.reading import frame_count, read_volume
from common.errors import CohortError, WrongUse
from common.study import Study

_MASK = re.compile(r"[_.-]?(mask|gt|seg|labels?)$", re.IGNORECASE)
_IMAGE = re.compile(r"[_.-]?(image|img|sa)$", re.IGNORECASE)
_ENDINGS = (".nii.gz", ".nii")


def read_patient_folder(
    folder: Path,
    study: Study,
    myocardium: int,
    frame: int | None = None,
    covariates: dict[str, str] | None = None,
) -> Patient:
    """Gather the cases of one patient; its id is the folder's name.

    Parameters
    ----------
    frame
        Of 4-D files; without it, the only frame with myocardium in a 4-D mask.
    covariates
        What the study wants to know of the patient besides its images.

    Raises
    ------
    CohortError
        The folder has no mask, a mask without its image, or not one case for each of the study's
        phases.
    """
    files = {_stem(path): path for path in sorted(folder.iterdir()) if _usable(path)}
    masks = {stem: path for stem, path in files.items() if _MASK.search(stem) and path.is_file()}
    if not masks:
        raise CohortError(
            f"{folder} has no mask.",
            "Put NIfTI files into it: an image NAME.nii.gz, and NAME_mask.nii.gz with the "
            "myocardium drawn on it.",
        )
    cases = []
    for stem, mask in masks.items():
        image = _image_of(stem, {s: p for s, p in files.items() if s not in masks}, folder)
        phase = _phase_of(stem, list(masks), study)
        if phase is None:
            continue
        moment = _moment(image, mask, myocardium, frame)
        cases.append(Case(folder.name, phase, image, mask, moment))
    found = sorted(case.phase for case in cases)
    if found != sorted(study.cohort.phases):
        raise CohortError(
            f"{folder} has images of the phases {', '.join(found) or 'none'}; the release wants "
            f"one each of {', '.join(study.cohort.phases)}.",
            "Name the files by their phase, for example NAME_ED.nii.gz and NAME_ED_mask.nii.gz.",
        )
    return Patient(folder.name, 0, tuple(cases), dict(covariates or {}))


def read_covariates(given: list[str]) -> dict[str, str]:
    """Read ``name=value`` texts.

    Raises
    ------
    WrongUse
        One is not of that form.
    """
    pairs = [one.partition("=") for one in given]
    for name, equals, value in pairs:
        if not (name.strip() and equals and value.strip()):
            raise WrongUse(f"'{name}{equals}{value}' is no covariate.", "Write it as name=value.")
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def _usable(path: Path) -> bool:
    return not path.name.startswith(".") and (path.is_dir() or path.name.lower().endswith(_ENDINGS))


def _stem(path: Path) -> str:
    for ending in _ENDINGS:
        if path.name.lower().endswith(ending):
            return path.name[: -len(ending)]
    return path.name


def _image_of(mask: str, images: dict[str, Path], folder: Path) -> Path:
    """Find the image of a mask: of the same name but for the endings, or the only one there is."""
    base = _MASK.sub("", mask)
    wanted = {base.lower(), _IMAGE.sub("", base).lower()}
    own = [p for s, p in images.items() if {s.lower(), _IMAGE.sub("", s).lower()} & wanted]
    if len(own) == 1:
        return own[0]
    if not own and len(images) == 1:
        return next(iter(images.values()))
    seen = ", ".join(sorted(images)) or "none"
    raise CohortError(
        f"{folder} has {len(own)} images that belong to the mask {mask}; its images are {seen}.",
        "Name image and mask alike, for example NAME.nii.gz and NAME_mask.nii.gz.",
    )


def _phase_of(mask: str, masks: list[str], study: Study) -> str | None:
    """Give the study's phase that a mask's name tells, None for another's; the only mask's is it.

    Without any phase in any name, a study of one phase takes a folder of one mask as it is.
    """
    words = [word.lower() for word in re.split(r"[_.\s-]+", mask)]
    for phase in study.cohort.phases:
        if phase.lower() in words:
            return phase
    told = {"ed", "es"} & set(words)
    if len(masks) == 1 and len(study.cohort.phases) == 1 and not told:
        return study.cohort.phases[0]
    return None


def _moment(image: Path, mask: Path, myocardium: int, frame: int | None) -> int | None:
    """Choose the frame of a 4-D image: as given, or where the mask has myocardium."""
    if frame_count(image) == 1:
        return None
    count = frame_count(mask)
    if frame is not None or count == 1:
        return frame
    drawn = [n for n in range(count) if (read_volume(mask, n).array == myocardium).any()]
    return drawn[0] if len(drawn) == 1 else None
