"""Reading: every format, frames, skewed axes, damaged files, and grids that do not match."""

from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from client.imaging.reading import frame_count, read_pair, read_volume, same_grid
from client.imaging.skewed import nearest_orthogonal
from common.errors import ImageError

SCAN = np.random.default_rng(0).integers(0, 500, (3, 40, 50)).astype(np.int16)
SPACING = (1.25, 1.5, 8.0)
SUNNYBROOK = Path(__file__).resolve().parents[3] / "shared" / "data" / "sunnybrook"


def write(path, array=SCAN, spacing=SPACING, origin=(3.0, 4.0, 5.0), direction=None):
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing)
    image.SetOrigin(origin)
    if direction is not None:
        image.SetDirection(direction)
    sitk.WriteImage(image, str(path))
    return path


def write_nibabel(path, array, shear):
    affine = np.diag([1.2, 1.3, 8.0, 1.0])
    affine[0, 1] = shear
    affine[:3, 3] = (3.0, 4.0, 5.0)
    nibabel.save(nibabel.Nifti1Image(array, affine), path)
    return path


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha"])
def test_formats_give_the_same_volume(tmp_path, suffix):
    volume = read_volume(write(tmp_path / f"scan{suffix}"))
    assert np.array_equal(volume.array, SCAN)
    assert volume.spacing == pytest.approx(SPACING)
    assert volume.origin == pytest.approx((3.0, 4.0, 5.0))
    assert volume.note is None


def test_a_two_dimensional_file_is_one_slice(tmp_path):
    path = tmp_path / "flat.mha"
    sitk.WriteImage(sitk.GetImageFromArray(SCAN[0]), str(path))
    volume = read_volume(path)
    assert volume.array.shape == (1, 40, 50)
    assert len(volume.spacing) == 3
    assert len(volume.direction) == 9


@pytest.mark.parametrize("shear", [0.0, 0.06])
def test_a_frame_of_four_dimensions(tmp_path, shear):
    frames = np.random.default_rng(1).integers(0, 9, (5, 4, 3, 6)).astype(np.int16)
    path = write_nibabel(tmp_path / "cine.nii.gz", frames, shear)
    assert frame_count(path) == 6
    assert np.array_equal(read_volume(path, 2).array, frames[..., 2].T)
    with pytest.raises(ImageError, match=r"6 frames and none is chosen.*0 to 5"):
        read_volume(path)
    with pytest.raises(ImageError, match="frame 6 does not exist"):
        read_volume(path, 6)
    with pytest.raises(ImageError, match="frame -1 does not exist"):
        read_volume(path, -1)


def test_a_frame_of_three_dimensions_is_refused(tmp_path):
    path = write(tmp_path / "scan.nii.gz")
    assert np.array_equal(read_volume(path, 0).array, SCAN)
    with pytest.raises(ImageError, match="frame 1 does not exist"):
        read_volume(path, 1)


def test_skewed_axes_are_read_on_the_nearest_rotation(tmp_path):
    path = write_nibabel(tmp_path / "skewed.nii.gz", SCAN.T, 0.05)
    with pytest.raises(RuntimeError, match="orthonormal"):
        sitk.ReadImage(str(path))
    skewed = read_volume(path)
    straight = read_volume(write_nibabel(tmp_path / "straight.nii.gz", SCAN.T, 0.0))
    assert "right angles" in skewed.note
    assert np.array_equal(skewed.array, straight.array)
    assert skewed.origin == pytest.approx(straight.origin)
    assert skewed.spacing == pytest.approx(straight.spacing, abs=2e-3)
    assert skewed.direction == pytest.approx(straight.direction, abs=0.03)
    axes = np.reshape(skewed.direction, (3, 3))
    assert np.allclose(axes.T @ axes, np.eye(3), atol=1e-12)
    assert same_grid(skewed, straight).startswith("direction (-0.9998, ")


def test_nearest_orthogonal_keeps_what_is_orthogonal_and_its_handedness():
    mirror = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    assert np.allclose(nearest_orthogonal(mirror), mirror)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha"])
@pytest.mark.parametrize("kept", [0.0, 0.01, 0.5, 0.97])
def test_a_truncated_file_is_named(tmp_path, suffix, kept):
    path = write(tmp_path / f"broken{suffix}")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(ImageError, match=f"broken{suffix}") as caught:
        read_volume(path)
    assert caught.value.fix


def test_a_flipped_byte_of_a_compressed_file_is_noticed(tmp_path):
    path = write(tmp_path / "flipped.nii.gz")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(ImageError, match=r"flipped\.nii\.gz is damaged"):
        read_volume(path)


def test_missing_file_and_folder_without_images(tmp_path):
    with pytest.raises(ImageError, match="does not exist"):
        read_volume(tmp_path / "none.nii.gz")
    with pytest.raises(ImageError, match="0 DICOM series"):
        read_volume(tmp_path)


def test_colour_is_refused(tmp_path):
    path = tmp_path / "colour.mha"
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((4, 5, 3), np.uint8), isVector=True), str(path))
    with pytest.raises(ImageError, match="3 values a pixel"):
        read_volume(path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"spacing": (1.25, 1.502, 8.0)}, r"spacing \(1.25, 1.5, 8\) against \(1.25, 1.502, 8\)"),
        ({"origin": (3.0, 4.0, 5.1)}, "origin"),
        ({"direction": (0, 1, 0, 1, 0, 0, 0, 0, 1)}, "direction"),
        ({"array": SCAN[:2]}, r"size \(50, 40, 3\) against \(50, 40, 2\)"),
    ],
)
def test_same_grid_says_what_differs(tmp_path, change, said):
    image = write(tmp_path / "image.mha")
    other = write(tmp_path / "other.mha", **change)
    with pytest.raises(ImageError, match=said):
        read_pair(image, other, None, 2)
    assert same_grid(read_volume(image), read_volume(image)) is None


def test_pair_gives_the_myocardium(tmp_path):
    labels = (SCAN % 4).astype(np.uint8)
    image, mask = write(tmp_path / "i.nii.gz"), write(tmp_path / "m.nii.gz", labels)
    volume, myocardium = read_pair(image, mask, None, 2)
    assert np.array_equal(volume.array, SCAN)
    assert np.array_equal(myocardium, labels == 2)
    with pytest.raises(ImageError, match=r"no pixel of label 7; its labels are 0, 1, 2, 3"):
        read_pair(image, mask, None, 7)


def test_a_mask_of_fractions_is_refused(tmp_path):
    image = write(tmp_path / "i.nii.gz")
    mask = write(tmp_path / "m.nii.gz", (SCAN > 9).astype(np.float32) * 0.5)
    with pytest.raises(ImageError, match=r"not labels, such as 0\.5"):
        read_pair(image, mask, None, 1)


@pytest.mark.realdata
@pytest.mark.skipif(not SUNNYBROOK.is_dir(), reason=f"no Sunnybrook images at {SUNNYBROOK}")
def test_dicom_file_and_folder(tmp_path):
    folder = SUNNYBROOK / "SCD0000101" / "dicom"
    with pytest.raises(ImageError, match="240 images at 12 positions"):
        read_volume(folder)
    files = {path: read_volume(path) for path in sorted(folder.glob("*.dcm"))[:40]}
    one_each = {volume.origin: path for path, volume in files.items()}
    for path in one_each.values():
        (tmp_path / path.name).symlink_to(path)
    volume = read_volume(tmp_path)
    assert volume.array.shape == (len(one_each), 256, 256)
    assert any(np.array_equal(volume.array[0], single.array[0]) for single in files.values())
