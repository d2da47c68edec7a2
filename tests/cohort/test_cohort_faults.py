"""Every bad input gives exactly its fault, naming the case or the column; its clean twin none."""

import dataclasses
import json

import numpy as np
import pytest
from cohort_samples import RULES, Cohort, codes, heart
from cohort_spoils import ALL_PHASES, CASES, spoil_empty

from client.cohort.check import check_site
from client.cohort.rules import CohortRules
from common.errors import Fault


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


def test_a_second_mask_is_checked_as_the_first(tmp_path):
    cohort = Cohort(tmp_path)
    for row in cohort.rows:
        row["second_mask"] = row["mask"] if row["patient_id"] != "p1" else ""
    assert cohort.check().faults == ()
    cohort = Cohort(tmp_path / "spoilt")
    for row in cohort.rows:
        row["second_mask"] = row["mask"]
    cohort.rows[2]["second_mask"] = "nowhere.nii.gz"
    cohort.rows[3]["second_mask"] = cohort.rows[3]["image"]
    report = cohort.check()
    assert codes(report.faults) == ["file-missing", "image-is-mask"]
    assert all("column second_mask" in str(fault) for fault in report.faults)
    assert "patient p2" in str(report.faults[0])


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
