"""What is measured in the box is what PyRadiomics measures: every feature, on odd masks too."""

import numpy as np
import pytest
import SimpleITK as sitk
from pyradiomics_alone import assert_equal
from radiomics import imageoperations

from client.imaging.boxed.box import box_around
from client.imaging.boxed.features import box_features
from client.imaging.boxed.filters import filtered
from client.imaging.preprocess import PreparedSlice, Preprocessing, prepare_slice
from client.imaging.radiomics import FILTERS, RadiomicsRecipe, extract_slice
from client.phantoms.consortium import DEFAULT
from client.phantoms.patient import make_patient, seeds
from common.feature_names import IMAGES

RECIPE = RadiomicsRecipe()

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning:radiomics.*")


def phantom_slices(patients, chosen):
    for index in range(patients):
        site = DEFAULT[index % len(DEFAULT)]
        made = make_patient(seeds(7, site.name, index), site.vendor, index % 2 == 0, site.mean_age)
        preparing = Preprocessing(intensity=("percentile", "minmax")[index % 2])
        for z in chosen:
            spacing = (site.vendor.spacing, site.vendor.spacing)
            yield prepare_slice(made.image[z], made.mask[z] == 2, spacing, preparing)


def textured(shape=(61, 74), seed=0):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    image = 0.4 + 0.3 * np.sin(x / 5 + y / 9) + 0.1 * rng.standard_normal(shape)
    return np.clip(image, 0, 1).astype(np.float32)


def disc(shape=(61, 74), center=(30, 36), outer=16.0, inner=9.0):
    y, x = np.mgrid[: shape[0], : shape[1]]
    radius = np.hypot(y - center[0], x - center[1])
    return (radius <= outer) & (radius > inner)


def some(*pixels, shape=(61, 74)):
    mask = np.zeros(shape, dtype=bool)
    for y, x in pixels:
        mask[y, x] = True
    return mask


def test_phantom_slices():
    measured = [assert_equal(each, RECIPE) for each in phantom_slices(4, (0, 2, 4))]
    assert len(measured) == 12
    assert all(measured)


MASKS = {
    "ring": disc(),
    "thin ring": disc(inner=15.2),
    "two rings": disc(center=(15, 15), outer=9, inner=5) | disc(center=(44, 55), outer=9, inner=7),
    "at the first corner": disc(center=(0, 0)),
    "at the last corner": disc(center=(60, 73)),
    "wider than the image": disc(outer=70, inner=20),
    "all but one": ~some((30, 30)),
    "scattered": np.random.default_rng(3).random((61, 74)) < 0.1,
    "two by two": some((20, 20), (20, 21), (21, 20), (21, 21)),
    "three": some((20, 20), (20, 21), (21, 20)),
    "a pair and a far one": some((20, 20), (20, 21), (40, 40)),
}
REFUSED = {
    "one": some((20, 20)),
    "a line": some(*((20, x) for x in range(10, 30))),
    "none": np.zeros((61, 74), dtype=bool),
    "all": np.ones((61, 74), dtype=bool),
    "two at a corner": some((20, 20), (21, 21)),
    "no two touch": some((20, 20), (30, 40), (50, 22)),
}


@pytest.mark.parametrize("name", MASKS)
def test_odd_masks(name):
    assert assert_equal(PreparedSlice(textured(), MASKS[name], 1.0), RECIPE)


@pytest.mark.parametrize("name", REFUSED)
def test_what_pyradiomics_refuses_is_refused(name):
    assert not assert_equal(PreparedSlice(textured(), REFUSED[name], 1.0), RECIPE)


def one_pixel_apart(image):
    image = np.full_like(image, 0.5)
    image[30, 24], image[0, 0] = 0.51, 1.0
    return image


IMAGES_TO_TRY = {
    "constant": lambda image: np.full_like(image, 0.5),
    "constant in the ring": lambda image: np.where(disc(), 0.25, image).astype(np.float32),
    "zero in the ring": lambda image: np.where(disc(), 0, image).astype(np.float32),
    "one grey level": lambda image: (0.5 + 1e-4 * image).astype(np.float32),
    "two grey levels": lambda image: (image > 0.4).astype(np.float32),
    "one pixel differs": one_pixel_apart,
    "checkerboard": lambda image: (0.2 + 0.5 * (np.indices(image.shape).sum(0) % 2)).astype("f4"),
    "the maximum in the ring": lambda image: np.where(disc(outer=10), 1.2, image).astype(
        np.float32
    ),
    "negative": lambda image: image - np.float32(0.6),
    "dim": lambda image: image / np.float32(1000),
}


@pytest.mark.parametrize("name", IMAGES_TO_TRY)
def test_odd_images(name):
    assert assert_equal(PreparedSlice(IMAGES_TO_TRY[name](textured()), disc(), 1.0), RECIPE)


def test_an_image_of_zeros_is_refused_as_by_pyradiomics():
    assert not assert_equal(PreparedSlice(np.zeros((61, 74), np.float32), disc(), 1.0), RECIPE)


@pytest.mark.parametrize(
    ("recipe", "spacing"),
    [
        (RadiomicsRecipe(bin_width=2.0), 1.0),
        (RadiomicsRecipe(bin_width=25.0), 0.7),
        (RadiomicsRecipe(bin_width=5.0, wavelet="haar"), 2.0),
        (RadiomicsRecipe(wavelet="sym8"), 1.0),
        (RadiomicsRecipe(bin_width=4 / 255, grey_range=1.0), 1.3),
    ],
)
def test_other_recipes_and_spacings(recipe, spacing):
    assert assert_equal(PreparedSlice(textured(), disc(), spacing), recipe)


@pytest.mark.parametrize("seed", range(12))
def test_few_pixels_of_few_grey_levels(seed):
    """Where sums are small and differences vanish, special cases are many."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, rng.integers(2, 6), (14, 15)).astype(np.float32) / 10
    image[0, 0] = 1
    assert_equal(PreparedSlice(image, rng.random((14, 15)) < rng.uniform(0.05, 0.8), 1.0), RECIPE)


@pytest.mark.parametrize("shape", [(61, 74), (64, 63)])
@pytest.mark.parametrize("center", [(30, 36), (2, 3), (58, 60)])
def test_filtered_pixels_have_the_bits_of_the_whole_image(shape, center):
    """A last bit can move a pixel into another bin, so filters must be equal, not close."""
    field = textured(shape, seed=5).astype(np.float64) * 255 - 20
    box = box_around(disc(shape, center))
    image = sitk.GetImageFromArray(field[None])
    image.SetSpacing([1.3, 1.3, 1.0])
    settings = {"force2D": True, "wavelet": "coif1", "level": 1}
    whole = {
        prefix: sitk.GetArrayFromImage(pixels)[0]
        for name in FILTERS
        for pixels, prefix, _ in getattr(imageoperations, f"get{name}Image")(
            image, None, **settings
        )
    }
    found = dict(filtered(field, box, 1.3, "coif1"))
    assert set(found) == set(whole) == set(IMAGES)
    for prefix, pixels in found.items():
        assert pixels.dtype == whole[prefix].dtype
        assert np.array_equal(pixels, whole[prefix][box.inside]), prefix


def test_an_ordinary_slice_never_needs_the_slow_way(monkeypatch):
    def slow(*given):
        raise AssertionError("asked PyRadiomics for a whole slice")

    monkeypatch.setattr("client.imaging.radiomics.by_pyradiomics", slow)
    for prepared in phantom_slices(2, (1, 3)):
        assert np.isfinite(extract_slice(prepared, RECIPE)).all()


def test_nothing_outside_the_reach_of_a_filter_counts_but_the_maximum():
    image, mask = textured(), disc()
    other = np.where(disc(outer=26, inner=0), image, image[::-1, ::-1])
    other[0, 0] = image[0, 0] = 1
    first, second = (
        box_features(each.astype(np.float64), mask, 1.0, 0.02, "coif1") for each in (image, other)
    )
    assert first == second
    other[0, 0] = 1.5
    third = box_features(other.astype(np.float64), mask, 1.0, 0.02, "coif1")
    assert third["square_firstorder_Mean"] != first["square_firstorder_Mean"]
    assert third["wavelet-HH_glcm_MCC"] == first["wavelet-HH_glcm_MCC"]
