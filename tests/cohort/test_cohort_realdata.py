"""Real hearts: no false alarm, foreign contours found, Sunnybrook's rings are rings."""

import random
import shutil
import time

import numpy as np
import pytest
import SimpleITK as sitk
from cohort_samples import DATA, codes

from client.cohort.check import check_site
from client.cohort.check_contour import check_contour
from client.cohort.importers import import_mnms, import_sunnybrook
from client.cohort.rules import CohortRules
from client.imaging.reading import read_volume

pytestmark = [
    pytest.mark.realdata,
    pytest.mark.skipif(not DATA.is_dir(), reason=f"the real images are not at {DATA}"),
]
RULES = CohortRules(
    phases=("ED", "ES"),
    levels={"sex": ("F", "M"), "vendor": ("Siemens", "Philips")},
    required=("age", "sex", "vendor"),
    numeric=("age",),
)


def test_mnms_has_no_false_alarm(tmp_path):
    report = import_mnms(DATA / "mnms-hcm", tmp_path / "site", name="mnms")
    assert report.patients == {"HCM": 49, "NOR": 38}
    began = time.perf_counter()
    checked = check_site(report.site, RULES)
    assert time.perf_counter() - began < 30
    assert checked.faults == (), checked.listing()
    assert checked.notes == (), checked.listing()


def test_mnms_centres_and_parts(tmp_path):
    one, two, other = (
        import_mnms(DATA / "mnms-hcm", tmp_path / f"s{i}", name=f"s{i}", centre=c, part=p)
        for i, (c, p) in enumerate(((1, (1, 2)), (1, (2, 2)), (2, None)))
    )
    assert (one.patients, two.patients) == ({"HCM": 12, "NOR": 7}, {"HCM": 11, "NOR": 8})
    assert other.patients == {"HCM": 26, "NOR": 23}
    ids = [{p.patient_id for p in r.site.patients()} for r in (one, two, other)]
    assert len(set.union(*ids)) == 87


def test_masks_of_another_patient_are_found(tmp_path):
    site = import_mnms(DATA / "mnms-hcm", tmp_path / "site", name="mnms").site
    cases = [patient.case("ED") for patient in site.patients()]
    chance = random.Random(0)
    caught = seen = 0
    for case in cases[::2]:
        other = chance.choice([c for c in cases if c.patient_id != case.patient_id])
        image, mask = read_volume(case.image), read_volume(other.mask)
        depth = min(len(image.array), len(mask.array))
        faults, notes = check_contour(
            image.array[:depth], mask.array[:depth] == 2, image.spacing, case.where, "ED"
        )
        caught += bool(faults)
        seen += bool(faults or notes)
    assert caught >= 0.8 * len(cases[::2])
    assert seen >= 0.95 * len(cases[::2])


@pytest.fixture
def sunnybrook(tmp_path):
    labels = tmp_path / "labels.csv"
    labels.write_text("patient_id,label\nSCD0000101,HF-I\nSCD0000201,HF-NI\n")
    return {
        "name": "sb",
        "positive": "HF-I",
        "negative": "HF-NI",
        "labels": labels,
        "out": tmp_path / "site",
    }


def test_sunnybrook_rings(sunnybrook):
    report = import_sunnybrook(DATA / "sunnybrook", **sunnybrook)
    assert (report.faults, report.notes, report.skipped) == ((), (), {})
    checked = check_site(report.site, CohortRules(minimum_patients_per_class=1))
    assert checked.faults == checked.notes == (), checked.listing()
    for row in report.site.table.rows:
        image, mask = sitk.ReadImage(str(row.image)), sitk.ReadImage(str(row.mask))
        np.testing.assert_allclose(image.GetSpacing(), (1.3672, 1.3672, 10), atol=1e-3)
        labels = sitk.GetArrayFromImage(mask)
        assert len(labels) == 9
        ring = (labels == 2).sum(axis=(1, 2))
        assert ((ring > 200) & (ring < 1200)).all()
        volume = 1.3672**2 * 10 / 1000
        assert 60 < ring.sum() * volume < 200  # ml of myocardium
        assert 100 < (labels == 1).sum() * volume < 350  # ml of cavity, dilated hearts


def test_sunnybrook_with_the_contour_of_another_patient(sunnybrook, tmp_path):
    """Both contours of one slice are exchanged for those of the other patient."""
    root = tmp_path / "source"
    shutil.copytree(DATA / "sunnybrook", root)
    for kind in "io":
        source = f"SCD0000201/contours/IM-0001-0060-{kind}contour-manual.txt"
        target = root / f"SCD0000101/contours/IM-0001-0199-{kind}contour-manual.txt"
        target.unlink()
        shutil.copyfile(DATA / "sunnybrook" / source, target)
    site = import_sunnybrook(root, **sunnybrook).site
    faults = check_site(site, CohortRules(minimum_patients_per_class=1)).faults
    assert codes(faults) == ["contour-foreign"]
    assert (
        faults[0].where == "patient SCD0000101, phase ED, column mask, slice 1"
    )  # sorted from the apex
