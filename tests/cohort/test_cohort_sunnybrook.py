"""The Sunnybrook importer: order by headers, rings from polygons, nothing identifying."""

import gzip

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from cohort_samples import codes
from dicom_samples import (
    PITCH,
    SHAPE,
    circle,
    frame_pixels,
    write_contour,
    write_frame,
    write_patient,
)

from client.cohort.check import check_site
from client.cohort.importers import import_sunnybrook
from client.cohort.importers.contours import rasterise, read_polygon, share_inside
from client.cohort.rules import CohortRules
from common.errors import CohortError, ImageError

RULES = CohortRules(minimum_patients_per_class=1)


@pytest.fixture
def source(tmp_path):
    root = tmp_path / "source"
    diastole = {p: write_patient(root / p, seed=n) for n, p in enumerate(("A", "B"))}
    (tmp_path / "labels.csv").write_text("patient_id;label\nA;scar\nB;none\nC;none\n")
    return root, diastole


def load(source, **options):
    root, _ = source
    options.setdefault("labels", root.parent / "labels.csv")
    return import_sunnybrook(
        root, root.parent / "site", name="sb", positive="scar", negative="none", **options
    )


def volumes(report, patient="A"):
    row = next(r for r in report.site.table.rows if r.patient_id == patient)
    return sitk.ReadImage(str(row.image)), sitk.ReadImage(str(row.mask))


def test_slices_phases_and_geometry(source):
    report = load(source)
    assert report.patients == {"none": 1, "scar": 1}
    assert report.faults == ()
    assert report.notes == (f"1 patients of {source[0].parent / 'labels.csv'} have no folder below "
                            f"{source[0]}.",)  # fmt: skip
    image, mask = volumes(report)
    expected = np.stack([frame_pixels(z, 2) for z in range(4)])
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), expected)
    np.testing.assert_allclose(image.GetSpacing(), (1.25, 1.5, PITCH), atol=1e-5)
    np.testing.assert_allclose(image.GetOrigin(), (5, -20, 30), atol=1e-4)
    np.testing.assert_allclose(image.GetDirection(), (0, 0, -1, 1, 0, 0, 0, -1, 0), atol=1e-6)
    labels = sitk.GetArrayFromImage(mask)
    assert set(np.unique(labels)) == {0, 1, 2}
    assert (labels == 1).sum() / 4 == pytest.approx(np.pi * 8**2, rel=0.05)
    assert (labels == 2).sum() / 4 == pytest.approx(np.pi * (13**2 - 8**2), rel=0.05)
    row = report.site.table.rows[0]
    assert row.covariates == {"vendor": "GE", "scanner": "SIGNA", "field_strength": "1.5"}
    assert check_site(report.site, RULES).passed


def test_nothing_identifying_is_written(source):
    site = load(source).site
    for file in site.images.iterdir():
        assert b"DOE" not in gzip.decompress(file.read_bytes())
        assert file.name.startswith("case000")
    assert "images/case0001_ED.nii.gz" in site.table_path.read_text()


def test_a_slice_without_contours_between_others_is_kept_without_mask(source):
    root, _ = source
    write_patient(root / "C", contoured=(1, 3))
    report = load(source)
    image, mask = volumes(report, "C")
    expected = np.stack([frame_pixels(z, 2) for z in (1, 2, 3)])
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), expected)
    assert list(sitk.GetArrayFromImage(mask).any(axis=(1, 2))) == [True, False, True]


def test_only_contoured_frames_without_trigger_times(tmp_path):
    root = tmp_path / "source"
    folder = root / "A"
    (folder / "dicom").mkdir(parents=True)
    (folder / "contours").mkdir()
    for z, x in enumerate((0.0, -8.0, -24.0)):
        write_frame(folder / "dicom" / f"{z}", 50 - z, (x, 0, 0), None, frame_pixels(z, 0))
        write_contour(folder, 50 - z, "i", circle((40, 30), 8))
        write_contour(folder, 50 - z, "o", circle((40, 30), 13))
    report = load((root, None), labels=None)
    assert "lie 8.0 to 16.0 mm apart" in report.notes[1]
    image, _ = volumes(report)
    expected = np.stack([frame_pixels(z, 0) for z in range(3)])
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), expected)
    found = codes(check_site(report.site, RULES).faults)
    assert found == ["label-outside-classes", "one-class", "one-class"]


def spoil_outside(folder, number):
    write_contour(folder, number, "o", circle((200, 30), 13))


def spoil_disagree(folder, number):
    write_contour(folder, number, "i", circle((20, 20), 8))


def spoil_text(folder, number):
    write_contour(folder, number, "o", circle((40, 30), 13)).write_text("40 30\n41 x\n")


def spoil_few_points(folder, number):
    write_contour(folder, number, "o", circle((40, 30), 13, count=2))


def spoil_frame(folder, number):
    file_of(folder, number).unlink()


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (spoil_outside, "contour-outside-image"),
        (spoil_disagree, "contours-disagree"),
        (spoil_text, "contour-unreadable"),
        (spoil_few_points, "contour-unreadable"),
        (spoil_frame, "contour-without-frame"),
    ],
)
def test_a_bad_contour_leaves_its_slice_out(source, spoil, code):
    root, diastole = source
    spoil(root / "A", diastole["A"][1])
    report = load(source)
    assert codes(report.faults) == [code]
    assert f"patient A, IM-0001-{diastole['A'][1]:04d}-" in report.faults[0].where
    _, mask = volumes(report)
    drawn = list(sitk.GetArrayFromImage(mask).any(axis=(1, 2)))
    assert drawn == [True, False, True, True]


def test_a_contour_of_another_heart_inside_the_image_is_found_by_the_check(source):
    root, diastole = source
    for kind, radius in (("i", 8), ("o", 13)):
        write_contour(root / "A", diastole["A"][1], kind, circle((20, 45), radius))
    report = load(source)
    assert report.faults == ()
    faults = check_site(report.site, RULES).faults
    assert codes(faults) == ["contour-foreign"]
    assert faults[0].where == "patient A, phase ED, column mask, slice 1"


def test_corrupt_dicom_is_named_and_the_rest_imported(source):
    root, _ = source
    (root / "A" / "dicom" / "000.dcm").write_bytes(b"garbage" * 100)
    held = root / "A" / "dicom" / "001.dcm"
    held.write_bytes(held.read_bytes()[:-200])
    report = load(source)
    assert len(report.patients) == 2
    assert any("000.dcm" in str(f) and f.code == "dicom-unreadable" for f in report.faults)


def file_of(folder, number):
    """Give the file with an InstanceNumber."""
    for file in (folder / "dicom").iterdir():
        if pydicom.dcmread(file, stop_before_pixels=True).InstanceNumber == number:
            return file
    raise AssertionError


def test_damaged_pixels_of_a_contoured_frame(source):
    root, diastole = source
    file = file_of(root / "A", diastole["A"][2])
    file.write_bytes(file.read_bytes()[:-200])
    report = load(source)
    assert codes(report.faults) == ["dicom-unreadable"]
    assert file.name in report.faults[0].where
    assert volumes(report)[0].GetSize()[2] == 3


def test_a_frame_of_another_geometry_is_left_out(source):
    root, diastole = source
    file = file_of(root / "A", diastole["A"][2])
    held = pydicom.dcmread(file)
    held.PixelSpacing = [2.0, 2.0]
    held.save_as(file)
    report = load(source)
    assert codes(report.faults) == ["frame-differs"]
    assert volumes(report)[0].GetSize()[2] == 3


def test_patients_left_out_are_counted(source):
    root, _ = source
    write_patient(root / "D", contoured=())
    write_patient(root / "E")
    labels = root.parent / "labels.csv"
    labels.write_text("patient_id,label\nA,scar\nB,none\nD,none\nE,other\n")
    report = load(source)
    assert report.skipped == {
        "label 'other' is neither class": 1,
        "no frame with both contours": 1,
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("patient,label\nA,x\n", "column patient_id is there 0 times"),
        ("patient_id,label\nA,scar\nA,none\n", "'none', and 'scar' before"),
        ("patient_id,label\nA\n", "a cell is missing"),
        ("patient_id,label\nZ,scar\n", "No patient was imported"),
    ],
)
def test_bad_labels(source, text, words):
    (source[0].parent / "labels.csv").write_text(text)
    with pytest.raises(CohortError, match=words):
        load(source)
    assert not (source[0].parent / "site").exists()


def test_polygons(tmp_path):
    square = np.array([[2, 1], [5, 1], [5, 4], [2, 4]], float)
    inside = rasterise(square, (6, 8))
    assert inside.sum() == 9
    assert inside[1:4, 2:5].all()
    assert share_inside(square - 3, (6, 8)) == 0.25
    assert rasterise(circle((40, 30), 10), SHAPE).sum() == pytest.approx(np.pi * 100, rel=0.02)
    (tmp_path / "c.txt").write_text("1 2\n3 nan\n")
    with pytest.raises(ImageError, match=r"c\.txt, line 2"):
        read_polygon(tmp_path / "c.txt")
