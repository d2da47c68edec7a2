"""One patient's folder: which mask belongs to which image, which moment, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from site_samples import make_study

from client.reader.patient_folder import read_covariates, read_patient_folder
from common.errors import CohortError, WrongUse

STUDY = make_study()
BOTH = make_study(cohort={"phases": ("ED", "ES"), "minimum_patients_per_class": 2})


def put(folder: Path, *names: str) -> Path:
    """Files that hold a heart of label 2."""
    folder.mkdir(exist_ok=True)
    array = np.zeros((2, 8, 8), np.uint8)
    array[:, 2:6, 2:6] = 2
    for name in names:
        sitk.WriteImage(sitk.GetImageFromArray(array), str(folder / name))
    return folder


def put_cine(folder: Path, name: str, frames: dict[int, int], count: int = 4) -> None:
    """A 4-D file whose frames hold these labels."""
    volumes = []
    for number in range(count):
        array = np.zeros((2, 8, 8), np.uint8)
        array[:, 2:6, 2:6] = frames.get(number, 0)
        volumes.append(sitk.GetImageFromArray(array))
    sitk.WriteImage(sitk.JoinSeries(volumes), str(folder / name))


PAIRS = [
    ("x.nii.gz", "x_mask.nii.gz"),
    ("x.nii", "x_gt.nii"),
    ("ALD001_image.nii.gz", "ALD001_mask.nii.gz"),
    ("A0S9V9_sa_ED.nii.gz", "A0S9V9_sa_ED_gt.nii.gz"),
    ("scan.nii.gz", "drawn_by_me_seg.nii.gz"),
    ("p_img.nii.gz", "p_Labels.nii.gz"),
]


@pytest.mark.parametrize(("image", "mask"), PAIRS)
def test_an_image_and_its_mask_are_found_by_name(tmp_path: Path, image: str, mask: str) -> None:
    folder = put(tmp_path / "MRN 17", image, mask, "." + mask)
    (folder / "notes.txt").write_text("none")
    patient = read_patient_folder(folder, STUDY, 2)
    [case] = patient.cases
    assert (case.image.name, case.mask.name, case.phase) == (image, mask, "ED")
    assert case.frame is None
    assert patient.patient_id == "MRN 17"


def test_of_two_phases_the_study_s_is_taken(tmp_path: Path) -> None:
    names = [f"A_sa_{phase}{end}.nii.gz" for phase in ("ED", "ES") for end in ("", "_gt")]
    folder = put(tmp_path / "A", *names)
    [case] = read_patient_folder(folder, STUDY, 2).cases
    assert case.image.name == "A_sa_ED.nii.gz"
    cases = read_patient_folder(folder, BOTH, 2).cases
    assert [(case.phase, case.mask.name) for case in cases] == [
        ("ED", "A_sa_ED_gt.nii.gz"),
        ("ES", "A_sa_ES_gt.nii.gz"),
    ]


def test_of_a_cine_the_frame_that_is_drawn_is_taken_or_the_one_that_is_given(
    tmp_path: Path,
) -> None:
    put_cine(tmp_path, "x.nii.gz", {})
    put_cine(tmp_path, "x_gt.nii.gz", {2: 2, 3: 1})
    assert read_patient_folder(tmp_path, STUDY, 2).cases[0].frame == 2
    assert read_patient_folder(tmp_path, STUDY, 2, frame=1).cases[0].frame == 1
    put_cine(tmp_path, "x_gt.nii.gz", {2: 2, 3: 2})
    # Two are drawn: none is chosen, and reading the image says that one must be.
    assert read_patient_folder(tmp_path, STUDY, 2).cases[0].frame is None


REFUSED = {
    "no mask": (["x.nii.gz"], "has no mask"),
    "nothing": ([], "has no mask"),
    "no image": (["x_mask.nii.gz"], "0 images that belong"),
    "two images": (["a.nii.gz", "b.nii.gz", "c_mask.nii.gz"], "0 images that belong"),
    "another phase": (["x_ES.nii.gz", "x_ES_mask.nii.gz"], "phases none"),
    "two masks, no phase": (
        ["a.nii.gz", "a_mask.nii.gz", "b.nii.gz", "b_mask.nii.gz"],
        "phases none",
    ),
    "a phase twice": (
        ["a_ED.nii.gz", "a_ED_gt.nii.gz", "b_ED.nii.gz", "b_ED_gt.nii.gz"],
        "phases ED, ED",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_unclear_is_refused_with_what_to_do(tmp_path: Path, name: str) -> None:
    files, said = REFUSED[name]
    folder = put(tmp_path / "p", *files)
    with pytest.raises(CohortError, match=said) as caught:
        read_patient_folder(folder, STUDY, 2)
    assert caught.value.fix
    assert str(folder) in caught.value.what


def test_covariates_are_read_as_name_and_value() -> None:
    assert read_covariates(["Age=61", "scanner = GE = 2"]) == {"age": "61", "scanner": "GE = 2"}
    for bad in ("age", "=3", "age="):
        with pytest.raises(WrongUse, match="no covariate"):
            read_covariates([bad])
