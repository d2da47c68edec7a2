"""Every bad input gives exactly its fault, naming the case or the column; its clean twin none."""

import dataclasses
import json

import numpy as np
import pytest
import SimpleITK as sitk
from cohort_samples import RULES, Cohort, codes, heart, write

from client.cohort.check import check_site
from client.cohort.rules import CohortRules
from common.errors import Fault


def spoil_missing_image(c):
    (c.folder / "p1.nii.gz").unlink()


def spoil_missing_mask(c):
    (c.folder / "p1_gt.nii.gz").unlink()


def spoil_size(c):
    c.mask("p1", heart(1, shape=(3, 48, 50))[1])


def spoil_spacing(c):
    c.mask("p1", heart(1)[1], spacing=(1.3, 1.4, 8.0))


def spoil_origin(c):
    c.mask("p1", heart(1)[1], origin=(10, 0, 0))


def spoil_direction(c):
    c.mask("p1", heart(1)[1], direction=(-1, 0, 0, 0, -1, 0, 0, 0, 1))


def spoil_empty(c):
    c.mask("p1", np.zeros((3, 48, 48), np.uint8))


def spoil_one_voxel(c):
    mask = np.zeros((3, 48, 48), np.uint8)
    mask[1, 20, 20] = 2
    c.mask("p1", mask)


def spoil_no_myocardium(c):
    mask = heart(1)[1]
    c.mask("p1", np.where(mask == 2, 3, mask).astype(np.uint8))


def spoil_soft_mask(c):
    c.mask("p1", heart(1)[1].astype(np.float32) * 0.7)


def spoil_nan(c):
    image = heart(1)[0]
    image[1, 2, 3] = np.nan
    c.image("p1", image)


def spoil_nan_mha(c):
    image = heart(1)[0]
    image[1, 2, 3] = np.inf
    write(c.folder / "p1.mha", image)
    c.rows[1]["image"] = "p1.mha"


def spoil_nan_mask(c):
    mask = heart(1)[1].astype(np.float32)
    mask[1, 2, 3] = np.nan
    c.mask("p1", mask)


def spoil_constant(c):
    c.image("p1", np.full((3, 48, 48), 7, np.float32))


def spoil_duplicate_row(c):
    c.rows.append(dict(c.rows[1]))


def spoil_phase_twice(c):
    image, mask = heart(77)
    c.image("q", image)
    c.mask("q", mask)
    c.rows.append({**c.rows[1], "image": "q.nii.gz", "mask": "q_gt.nii.gz"})


def spoil_slices_mixed(c):
    c.rows.append({**c.rows[1], "slice": "1"})


def spoil_slice_outside(c):
    c.rows[1]["slice"] = "3"


def spoil_same_image(c):
    """The same pixels in another file, of another type and with other file content."""
    c.image("p1", heart(0)[0].astype(np.float64))


def spoil_same_slice(c):
    image = heart(1)[0]
    image[2] = heart(0)[0][0]
    c.image("p1", image)


def spoil_foreign_contour(c):
    """The mask of another heart, which lies beside this one."""
    c.mask("p1", heart(1, centre=(16, 33))[1])


def spoil_foreign_slice(c):
    """One slice's contour comes from another image, 50 mm away."""
    image, mask = heart(1, centre=(15, 15))
    mask[2] = np.roll(mask[2], (20, 20), axis=(0, 1))
    mask[2, 0], mask[2, :, 0] = 0, 0
    c.image("p1", image, spacing=(2.0, 2.0, 8.0))
    c.mask("p1", mask, spacing=(2.0, 2.0, 8.0))


def spoil_outside_image(c):
    """Most of the contour lies outside the image."""
    c.mask("p1", heart(1, centre=(-4, 24))[1])


def spoil_two_labels(c):
    image, mask = heart(77)
    c.image("q", image)
    c.mask("q", mask)
    c.rows.append(
        {**c.rows[0], "image": "q.nii.gz", "mask": "q_gt.nii.gz", "phase": "ES", "label": "scar"}
    )


def spoil_outside_classes(c):
    image, mask = heart(77)
    c.image("q", image)
    c.mask("q", mask)
    row = {**c.rows[1], "image": "q.nii.gz", "mask": "q_gt.nii.gz"}
    c.rows.append({**row, "patient_id": "p9", "label": "Scar"})


def spoil_one_class(c):
    del c.rows[1::2]


def spoil_too_few(c):
    del c.rows[1]


def spoil_level(c):
    c.rows[1]["vendor"] = "Acme"


def spoil_covariate_missing(c):
    c.rows[1]["sex"] = " NA "


def spoil_covariate_column(c):
    for row in c.rows:
        del row["sex"]


def spoil_number(c):
    c.rows[1]["age"] = "5o"


def spoil_covariate_twice(c):
    image, mask = heart(77)
    c.image("q", image)
    c.mask("q", mask)
    row = {**c.rows[1], "image": "q.nii.gz", "mask": "q_gt.nii.gz", "phase": "ES", "age": "99"}
    c.rows.append(row)


def spoil_phase_missing(c):
    c.rows[1]["phase"] = "ED "
    c.rows[3]["phase"] = "end-diastole"
    image, mask = heart(77)
    c.image("q", image)
    c.mask("q", mask)
    row = {**c.rows[1], "image": "q.nii.gz", "mask": "q_gt.nii.gz"}
    c.rows.append({**row, "patient_id": "p9"})


def spoil_corrupt_nifti(c):
    file = c.folder / "p1.nii.gz"
    file.write_bytes(file.read_bytes()[:3000])


def spoil_corrupt_mask(c):
    (c.folder / "p1_gt.nii.gz").write_bytes(b"this is no image")


def spoil_corrupt_dicom(c):
    image = sitk.GetImageFromArray(heart(1)[0][0].astype(np.int16))
    file = c.folder / "p1.dcm"
    sitk.WriteImage(image, str(file))
    file.write_bytes(file.read_bytes()[:600])
    c.rows[1]["image"] = "p1.dcm"


def spoil_huge_spacing(c):
    for put, array in zip((c.image, c.mask), heart(1), strict=True):
        put("p1", array, spacing=(1400.0, 1400.0, 8.0))


def spoil_image_is_mask(c):
    c.rows[1]["mask"] = c.rows[1]["image"]


CASES = [
    (spoil_missing_image, "file-missing", "patient p1, phase ED, column image"),
    (spoil_missing_mask, "file-missing", "patient p1, phase ED, column mask"),
    (spoil_size, "grid-differs", "size"),
    (spoil_spacing, "grid-differs", "spacing"),
    (spoil_origin, "grid-differs", "origin"),
    (spoil_direction, "grid-differs", "direction"),
    (spoil_empty, "mask-empty", "patient p1, phase ED, column mask"),
    (spoil_one_voxel, "mask-tiny", "1 voxel,"),
    (spoil_no_myocardium, "myocardium-missing", "labels there are 1, 3"),
    (spoil_soft_mask, "mask-not-labels", "0.7"),
    (spoil_nan, "image-nan", "1 of 6912 voxels"),
    (spoil_nan_mha, "image-nan", "1 of 6912 voxels"),
    (spoil_nan_mask, "mask-nan", "patient p1, phase ED, column mask"),
    (spoil_constant, "image-constant", "patient p1"),
    (spoil_duplicate_row, "duplicate-row", "line 8 repeats line 3"),
    (spoil_phase_twice, "phase-twice", "lines 3 and 8"),
    (spoil_slices_mixed, "slices-mixed", "patient p1"),
    (spoil_slice_outside, "slice-outside", "slices 0 to 2"),
    (spoil_same_image, "same-image-two-patients", "3 slices"),
    (spoil_same_slice, "same-image-two-patients", "patient p0"),
    (spoil_foreign_contour, "contour-foreign", "patient p1, phase ED, column mask"),
    (spoil_foreign_slice, "contour-foreign", "column mask, slice 2"),
    (spoil_outside_image, "contour-outside-image", "slice 0"),
    (spoil_two_labels, "two-labels", "'none' (line 2) and 'scar' (line 8)"),
    (spoil_outside_classes, "label-outside-classes", "Write 'scar'"),
    (spoil_one_class, "one-class", "class 'scar' (positive)"),
    (spoil_too_few, "too-few-patients", "2 patients, the study's minimum is 3"),
    (spoil_level, "covariate-level-unknown", "patient p1, column vendor"),
    (spoil_covariate_missing, "covariate-missing", "patient p1, column sex"),
    (spoil_covariate_column, "covariate-column-missing", "column sex"),
    (spoil_number, "covariate-not-number", "'5o'"),
    (spoil_covariate_twice, "covariate-twice", "'51' (line 3) and '99' (line 8)"),
    (spoil_phase_missing, "phase-missing", "there: end-diastole"),
    (spoil_corrupt_nifti, "image-unreadable", "p1.nii.gz"),
    (spoil_corrupt_mask, "mask-unreadable", "p1_gt.nii.gz"),
    (spoil_corrupt_dicom, "image-unreadable", "p1.dcm"),
    (spoil_huge_spacing, "spacing-implausible", "1400 x 1400"),
    (spoil_image_is_mask, "image-is-mask", "patient p1"),
]
ALL_PHASES = {"two-labels", "covariate-twice"}


@pytest.mark.parametrize(("spoil", "code", "word"), CASES, ids=[c[0].__name__[6:] for c in CASES])
def test_one_fault(tmp_path, spoil, code, word):
    cohort = Cohort(tmp_path)
    spoil(cohort)
    rules = RULES
    if code in ALL_PHASES:
        rules = dataclasses.replace(RULES, phases=(), minimum_patients_per_class=2)
    report = cohort.check(rules)
    assert codes(report.faults) == [code], report.listing()
    assert word in str(report.faults[0])
    assert report.faults[0].fix
    assert not report.passed


def test_the_clean_twin_has_none(tmp_path):
    calls = []
    report = check_site(Cohort(tmp_path).site(), RULES, lambda *done: calls.append(done))
    assert report.faults == ()
    assert report.notes == ()
    assert calls == [(n, 6) for n in range(1, 7)]
    assert "No fault." in report.listing()


def test_ten_faults_in_one_pass(tmp_path):
    cohort = Cohort(tmp_path)
    for row in list(cohort.rows):  # twice as many patients
        image, mask = heart(int(row["patient_id"][1:]) + 6)
        patient = f"r{row['patient_id']}"
        cohort.image(patient, image)
        cohort.mask(patient, mask)
        cohort.rows.append(
            row
            | {
                "patient_id": patient,
                "image": f"{patient}.nii.gz",
                "mask": f"{patient}_gt.nii.gz",
            }
        )
    (tmp_path / "p0.nii.gz").unlink()
    cohort.mask("p1", np.zeros((3, 48, 48), np.uint8))
    cohort.mask("p2", heart(2)[1], origin=(10, 0, 0))
    cohort.image("p3", np.full((3, 48, 48), np.nan, np.float32))
    cohort.image("p4", np.full((3, 48, 48), 7, np.float32))
    cohort.image("p5", heart(6)[0])
    cohort.mask("rp1", heart(7, centre=(16, 33))[1])
    cohort.rows[8]["vendor"] = "Acme"
    cohort.rows[9]["label"] = "maybe"
    cohort.rows.append(dict(cohort.rows[10]))
    (tmp_path / "rp5.nii.gz").write_bytes(b"nothing")
    report = cohort.check()
    assert codes(report.faults) == sorted(
        [
            "file-missing",
            "mask-empty",
            "grid-differs",
            "image-nan",
            "image-constant",
            "same-image-two-patients",
            "contour-foreign",
            "covariate-level-unknown",
            "label-outside-classes",
            "duplicate-row",
            "image-unreadable",
        ]
    )


def test_broken_rows_do_not_hide_the_others(tmp_path):
    cohort = Cohort(tmp_path)
    site = cohort.site()
    text = site.table_path.read_text().splitlines()
    text += ["p9,a.nii,b.nii,ED", f",{tmp_path}/p0.nii.gz,x.nii.gz,ED,scar,,50,F,Siemens"]
    text[1] = text[1].replace("_gt.nii.gz", "_no.nii.gz")
    site.table_path.write_text("\n".join(text))
    assert codes(check_site(site, RULES).faults) == ["file-missing", "row-cells", "row-cells"]


def test_a_lost_column_is_a_fault_not_a_crash(tmp_path):
    site = Cohort(tmp_path).site()
    site.table_path.write_text(site.table_path.read_text().replace("mask", "maks", 1))
    report = check_site(site, RULES)
    assert codes(report.faults) == ["column-missing"]
    assert "column mask" in str(report.faults[0])
    site.table_path.unlink()
    assert codes(check_site(site, RULES).faults) == ["table-unreadable"]


def test_nothing_of_a_patient_is_shared(tmp_path):
    cohort = Cohort(tmp_path)
    for row in cohort.rows:
        row["vendor"] = "Acme"
    spoil_empty(cohort)
    report = cohort.check()
    shared = report.shareable()
    assert shared == {
        "site": "tufts",
        "passed": False,
        "patients": {"positive": 3, "negative": 3},
        "faults": {"covariate-level-unknown": 6, "mask-empty": "<3"},
        "notes": {},
    }
    text = json.dumps(shared)
    assert "Acme" not in text
    assert "p1" not in text
    assert str(tmp_path) not in text
    assert "p1" in report.listing()


def test_a_skewed_header_is_noted_not_faulted(tmp_path):
    nibabel = pytest.importorskip("nibabel")
    cohort = Cohort(tmp_path)
    affine = np.diag([-1.4, -1.4, 8, 1])
    affine[0, 1] = 0.02
    for kind, array in zip(("", "_gt"), heart(1), strict=True):
        image = nibabel.Nifti1Image(array.T, affine)
        image.set_qform(None, code=0)
        image.set_sform(affine, code=1)
        nibabel.save(image, tmp_path / f"p1{kind}.nii.gz")
    report = cohort.check()
    assert report.faults == (), report.listing()
    assert set(codes(report.notes)) == {"header-repaired"}


def test_doubtful_things_are_notes(tmp_path):
    cohort = Cohort(tmp_path)
    image, mask = heart(1)
    image[mask == 1] = 95 + np.random.default_rng(0).normal(0, 5, (mask == 1).sum())
    cohort.image("p1", image)
    for put, array in zip((cohort.image, cohort.mask), heart(2), strict=True):
        put("p2", array, spacing=(1.0, 1.0, 1.0))
    cohort.mask("p3", heart(3, centre=(11.97, 24))[1])
    cohort.image("p3", heart(3, centre=(11.97, 24))[0])
    report = cohort.check()
    assert report.faults == (), report.listing()
    assert {"contour-doubtful", "spacing-unset"} <= set(codes(report.notes))


def test_dark_blood_can_be_allowed(tmp_path):
    cohort = Cohort(tmp_path)
    for number in range(6):
        cohort.image(f"p{number}", 300 - heart(number)[0])
    site = cohort.site()
    assert set(codes(check_site(site, RULES).faults)) == {"contour-foreign"}
    assert check_site(site, dataclasses.replace(RULES, bright_blood=False)).passed


def test_one_image_as_both_phases_is_noted(tmp_path):
    cohort = Cohort(tmp_path)
    cohort.rows.append({**cohort.rows[1], "phase": "ES"})
    report = cohort.check(dataclasses.replace(RULES, phases=()))
    assert report.faults == ()
    assert codes(report.notes) == ["same-image-two-phases"]


def test_labels_by_slice(tmp_path):
    cohort = Cohort(tmp_path)
    first = cohort.rows.pop(1)
    for z, label in enumerate(("none", "scar", "none")):
        cohort.rows.append({**first, "slice": str(z), "label": label})
    site = cohort.site()
    assert check_site(site, RULES).passed
    patient = next(p for p in site.patients() if p.patient_id == "p1")
    assert patient.label == 1
    assert patient.cases[0].slice_labels == {0: 0, 1: 1, 2: 0}


def test_default_rules(tmp_path):
    report = check_site(Cohort(tmp_path).site())
    assert codes(report.faults) == ["too-few-patients"] * 2
    assert CohortRules().phases == ("ED",)
    assert all(isinstance(fault, Fault) for fault in report.faults)
