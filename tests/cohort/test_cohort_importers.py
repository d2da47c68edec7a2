"""The importers table, acdc and mnms on tiny copies of the official layouts; parts."""

import numpy as np
import pytest
import SimpleITK as sitk
from cohort_samples import RULES, Cohort, codes, heart, write

from client.cohort.check import check_site
from client.cohort.importers import import_acdc, import_mnms, import_table
from client.cohort.importers.split import take_part
from client.cohort.rules import CohortRules
from common.errors import CohortError

LOOSE = CohortRules(minimum_patients_per_class=1, phases=("ED", "ES"))


def acdc(folder, number, group="HCM", **changes):
    patient = folder / f"patient{number:03d}"
    info = {"ED": 1, "ES": 12, "Group": group, "Height": 184.0, "NbFrame": 30, "Weight": "95.0"}
    for frame in (1, 12):
        image, mask = heart(100 * number + frame)
        mask[mask == 1] = 3
        write(patient / f"patient{number:03d}_frame{frame:02d}.nii.gz", image)
        write(patient / f"patient{number:03d}_frame{frame:02d}_gt.nii.gz", mask)
    lines = [f"{k}: {v}" for k, v in (info | changes).items() if v is not None]
    (patient / "Info.cfg").write_text("\r\n".join(lines))
    return patient


def test_acdc(tmp_path):
    root = tmp_path / "ACDC"
    acdc(root / "training", 1)
    acdc(root / "training", 2, "NOR")
    acdc(root / "testing", 101, "NOR", Height="nan")
    acdc(root / "testing", 102, "DCM")
    acdc(root / "testing", 103, "HCM", ES=None, ED="one")
    report = import_acdc(root, tmp_path / "site", name="acdc")
    assert report.patients == {"HCM": 1, "NOR": 2}
    assert report.skipped == {"Info.cfg cannot be used": 1, "label 'DCM' is neither class": 1}
    assert "patient patient103, Info.cfg: no usable ES and ED" in str(report.faults[0])
    rows = report.site.table.rows
    assert [(r.patient_id, r.phase, r.label) for r in rows[:3]] == [
        ("patient101", "ED", "NOR"),
        ("patient101", "ES", "NOR"),
        ("patient001", "ED", "HCM"),
    ]
    assert rows[0].covariates == {"height_cm": "", "weight_kg": "95.0"}
    assert rows[2].image == root / "training/patient001/patient001_frame01.nii.gz"
    assert report.site.myocardium == 2
    assert check_site(report.site, LOOSE).passed
    assert not report.site.images.exists()


def test_acdc_missing_frame_is_found_by_the_check(tmp_path):
    root = tmp_path / "ACDC"
    (acdc(root, 1) / "patient001_frame12.nii.gz").unlink()
    acdc(root, 2, "NOR")
    report = import_acdc(root, tmp_path / "site", name="acdc")
    assert codes(check_site(report.site, LOOSE).faults) == ["file-missing"]
    with pytest.raises(CohortError, match=r"no patientNNN/Info\.cfg"):
        import_acdc(tmp_path / "site", tmp_path / "x", name="x")
    with pytest.raises(CohortError, match="1 label 'HCM' is neither class"):
        import_acdc(root, tmp_path / "x", name="x", positive="MINF", negative="DCM")
    assert not (tmp_path / "x").exists()


MNMS_HEADER = ",External code,Vendor,VendorName,Centre,ED,ES,Age,Pathology,Sex,Height,Weight\n"


def mnms(root, where, code, line, *, mask=True):
    """Write one patient of the official layout: 4-D files with hearts in frames 2 and 5 only."""
    frames = [np.random.default_rng(i).normal(60, 5, (3, 48, 48)) for i in range(7)]
    labels = [np.zeros((3, 48, 48), np.uint8)] * 7
    for frame in (2, 5):
        frames[frame], labels[frame] = heart(sum(map(ord, code)) + frame)
    for ending, arrays in (("_sa", frames), ("_sa_gt", labels))[: 1 + mask]:
        image = sitk.JoinSeries(
            [sitk.GetImageFromArray(np.asarray(a).astype(np.float32)) for a in arrays]
        )
        image.SetSpacing((1.4, 1.4, 8.0, 1.0))
        (root / where / code).mkdir(parents=True, exist_ok=True)
        sitk.WriteImage(image, str(root / where / code / f"{code}{ending}.nii.gz"))
    table = root / "info.csv"
    text = table.read_text() if table.exists() else MNMS_HEADER
    table.write_text(text + f"{text.count(chr(10)) - 1},{code},{line}\n")


@pytest.fixture
def official(tmp_path):
    root = tmp_path / "MnM"
    mnms(root, "Training/Labeled", "A0S9V9", "A,Siemens,1,2,5,56,HCM,M,168,70")
    mnms(root, "Validation", "X1X0X1", "B,Philips,2,2,5,.,NOR,F,,")
    mnms(root, "Testing", "X1X0X2", "A,Siemens,1,2,5,60.0,NOR,F,160,60")
    mnms(root, "Testing", "A1E9Q1", "A,Siemens,1,2,5,60,DCM,F,160,60")
    mnms(root, "Training/Unlabeled", "X1X0X3", "A,Siemens,1,2,5,60,HCM,F,1,1", mask=False)
    return root


def test_mnms_official(tmp_path, official):
    report = import_mnms(official, tmp_path / "site", name="mnms")
    assert report.patients == {"HCM": 1, "NOR": 2}
    assert report.skipped == {"label 'DCM' is neither class": 1, "no image with mask": 1}
    rows = report.site.table.rows
    assert [(r.patient_id, r.phase, r.frame) for r in rows[:2]] == [
        ("A0S9V9", "ED", 2),
        ("A0S9V9", "ES", 5),
    ]
    assert rows[2].covariates == {
        "age": "",
        "sex": "F",
        "vendor": "Philips",
        "centre": "2",
        "height_cm": "",
        "weight_kg": "",
        "scanner": "Philips centre 2",
    }
    checked = check_site(report.site, LOOSE)
    assert checked.passed, checked.listing()


def test_mnms_wrong_frame_is_a_fault(tmp_path, official):
    table = official / "info.csv"
    table.write_text(table.read_text().replace("Siemens,1,2,5,56", "Siemens,1,2,9,56"))
    report = import_mnms(official, tmp_path / "site", name="mnms")
    faults = check_site(report.site, LOOSE).faults
    assert set(codes(faults)) == {"image-unreadable", "mask-unreadable"}
    assert "frame 9" in str(faults[0])


def test_mnms_centre_and_missing_frames(tmp_path, official):
    table = official / "info.csv"
    table.write_text(table.read_text().replace("Siemens,1,2,5,56", "Siemens,1,2,,56"))
    report = import_mnms(official, tmp_path / "site", name="mnms", centre=1)
    assert report.patients == {"HCM": 1, "NOR": 1}
    assert report.skipped["another centre"] == 1
    assert codes(report.faults) == ["frame-invalid"]
    with pytest.raises(CohortError, match="no patient of centre 7; its centres are 1, 2"):
        import_mnms(official, tmp_path / "x", name="x", centre=7)
    (official / "second.csv").write_text(MNMS_HEADER)
    with pytest.raises(CohortError, match="one table"):
        import_mnms(official, tmp_path / "x", name="x")
    with pytest.raises(CohortError, match="has no patient"):
        import_mnms(official, tmp_path / "x", name="x", csv=official / "second.csv")


def test_mnms_one_file_a_phase(tmp_path):
    root = tmp_path / "hcm"
    root.mkdir()
    lines = ["patient_id,centre,vendor,diagnosis,age,sex,height_cm,weight_kg"]
    for number, label in enumerate(("HCM", "NOR", "NOR")):
        image, mask = heart(number)
        stem = root / "centre1" / f"P{number}" / f"P{number}_sa_ED"
        write(stem.with_name(stem.name + ".nii.gz"), image)
        write(stem.with_name(stem.name + "_gt.nii.gz"), mask)
        lines.append(f"P{number},1,Siemens,{label},50,F,,")
    lines.append(lines[1])
    (root / "patients.csv").write_text("\n".join(lines))
    report = import_mnms(root, tmp_path / "site", name="one")
    assert report.patients == {"HCM": 1, "NOR": 2}
    assert codes(report.faults) == ["patient-twice"]
    assert all(row.phase == "ED" and row.frame is None for row in report.site.table.rows)
    assert check_site(report.site, CohortRules(minimum_patients_per_class=1)).passed


def test_table(tmp_path):
    cohort = Cohort(tmp_path)
    file = cohort.write_csv()
    report = import_table(file, tmp_path / "site", name="tufts", positive="scar", myocardium=2)
    assert report.patients == {"none": 3, "scar": 3}
    assert report.site.negative == "none"
    assert check_site(report.site, RULES).passed
    with pytest.raises(CohortError, match="not overwritten"):
        import_table(file, tmp_path / "site", name="tufts", positive="scar")
    with pytest.raises(CohortError, match="no row is labelled 'Scar'; the labels are 'none'"):
        import_table(file, tmp_path / "x", name="x", positive="Scar")


def test_table_keeps_what_the_check_must_fault(tmp_path):
    cohort = Cohort(tmp_path)
    cohort.rows[2]["label"] = "maybe"
    file = cohort.write_csv()
    with pytest.raises(CohortError, match="there are 2 labels"):
        import_table(file, tmp_path / "site", name="tufts", positive="scar", myocardium=2)
    given = {"name": "tufts", "positive": "scar", "negative": "none", "myocardium": 2}
    report = import_table(file, tmp_path / "kept", **given)
    assert "label-outside-classes" in codes(check_site(report.site, RULES).faults)
    report = import_table(file, tmp_path / "left", exclude=["maybe"], **given)
    assert report.skipped == {"label excluded": 1}
    assert len(report.site.patients()) == 5


def test_parts_are_disjoint_even_and_repeatable():
    labels = {f"p{i}": "HCM" if i % 3 else "NOR" for i in range(38)}
    parts = [take_part(labels, (k, 3), seed=4) for k in (1, 2, 3)]
    assert set.union(*parts) == set(labels)
    assert sum(map(len, parts)) == len(labels)
    for name in ("HCM", "NOR"):
        counts = [sum(labels[p] == name for p in part) for part in parts]
        assert max(counts) - min(counts) <= 1
    backwards = dict(reversed(labels.items()))
    assert take_part(backwards, (1, 3), seed=4) == parts[0]
    assert take_part(labels, (1, 3), seed=5) != parts[0]
    assert take_part(labels, None) == set(labels)
    for part in ((0, 2), (3, 2)):
        with pytest.raises(CohortError, match="There is no part"):
            take_part(labels, part)
