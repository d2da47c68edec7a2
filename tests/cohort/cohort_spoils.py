"""One function for each bad input: it spoils a clean cohort so that exactly one fault is due."""

import numpy as np
import SimpleITK as sitk
from cohort_samples import heart, write


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
