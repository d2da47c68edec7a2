"""Radiomics of one slice: the 939, equal to PyRadiomics itself, never a NaN."""

import logging

import numpy as np
import pytest
from pyradiomics_alone import directly
from radiomics import getFeatureClasses

from client.imaging.preprocess import PreparedSlice, Preprocessing
from client.imaging.radiomics import RadiomicsRecipe, extract_slice, extractor, feature_names
from client.imaging.selftest import recipe_hash, self_test, self_test_digest
from common.errors import ImageError
from common.feature_names import IMAGES, SHAPES, TEXTURES

RECIPE = RadiomicsRecipe()


def prepared_slice(seed=0, size=256):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size] - size // 2
    r = np.hypot(1.1 * y, x)
    smooth = 0.3 + 0.1 * np.sin(x / 7) + 0.1 * np.cos(y / 5) + 0.3 * (r < 20)
    image = np.clip(smooth + 0.05 * rng.standard_normal((size, size)), 0, 1)
    image[0, 0] = 1
    return PreparedSlice(image.astype(np.float32), (r > 20) & (r < 28), 1.0)


@pytest.mark.parametrize("seed", [0, 1])
def test_equal_to_pyradiomics_name_by_name(seed):
    prepared = prepared_slice(seed)
    reference = directly(prepared, RECIPE)
    names = feature_names(RECIPE)
    assert len(names) == len(set(names)) == 939
    assert set(reference) == set(names)
    values = extract_slice(prepared, RECIPE)
    expected = np.array([float(reference[name]) for name in names])
    assert values.dtype == np.float64
    assert np.allclose(values, expected, rtol=1e-9, atol=0)


def test_names_are_pyradiomics_own():
    classes = getFeatureClasses()
    for group, names in {**TEXTURES, "shape2D": SHAPES}.items():
        known = classes[group].getFeatureNames()
        assert list(names) == [name for name, deprecated in known.items() if not deprecated]
    assert sum(map(len, TEXTURES.values())) == 93
    assert len(SHAPES) == 9
    assert [i for i in IMAGES if i.startswith("wavelet")] == [
        "wavelet-LL",
        "wavelet-LH",
        "wavelet-HL",
        "wavelet-HH",
    ]


def test_textures_are_two_dimensional():
    # A checkerboard and stripes look alike along rows; only two dimensions tell them apart.
    mask = np.zeros((64, 64), dtype=bool)
    mask[16:48, 16:48] = True
    y, x = np.mgrid[:64, :64]
    found = []
    for pattern in ((x + y) % 2, x % 2):
        image = (0.2 + 0.5 * pattern).astype(np.float32)
        image[0, 0] = 1
        image += np.float32(1e-3) * (y % 5)
        values = extract_slice(PreparedSlice(image, mask, 1.0), RECIPE)
        found.append(dict(zip(feature_names(RECIPE), values, strict=True)))
    contrast = [f["original_glcm_Contrast"] for f in found]
    assert contrast[0] == pytest.approx(contrast[1] * 2 / 3, rel=0.1)


def test_on_the_unit_range_the_exponential_image_would_be_flat():
    """Why `grey_range` exists: exp(x log(max)/max) is 1 everywhere when the maximum is 1."""
    names = feature_names(RECIPE)
    variance = names.index("exponential_firstorder_Variance")
    prepared = prepared_slice()
    unit = RadiomicsRecipe(bin_width=4 / 255, grey_range=1.0)
    assert extract_slice(prepared, unit)[variance] == 0
    assert extract_slice(prepared, RECIPE)[variance] > 0.1


def test_a_slice_that_cannot_be_measured_is_an_error_not_a_nan():
    prepared = prepared_slice()
    dot = np.zeros_like(prepared.mask)
    dot[100, 100] = True
    with pytest.raises(ImageError, match="1 segmented voxel"):
        extract_slice(PreparedSlice(prepared.image, dot, 1.0), RECIPE)


def test_not_a_number_and_complex_numbers_are_named(monkeypatch):
    prepared = prepared_slice()
    good = dict(zip(feature_names(RECIPE), extract_slice(prepared, RECIPE), strict=True))

    class Engine:
        def __init__(self, value):
            self.value = value

        def execute(self, image, mask):
            return {**good, "square_glcm_Imc1": self.value}

    # What the box cannot tell is asked of PyRadiomics, and its answer is looked at too.
    monkeypatch.setattr("client.imaging.radiomics.box_features", lambda *given: None)
    for value, said in ((np.nan, "square_glcm_Imc1"), (np.complex128(1), "complex")):
        monkeypatch.setattr(
            "client.imaging.radiomics.extractor", lambda recipe, value=value: Engine(value)
        )
        with pytest.raises(ImageError, match=said):
            extract_slice(prepared, RECIPE)


def test_pyradiomics_is_silent(capfd, caplog):
    extractor.cache_clear()
    caplog.set_level(logging.DEBUG)
    extract_slice(prepared_slice(), RECIPE)
    assert not [record for record in caplog.records if record.name.startswith("radiomics")]
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""


def test_self_test_and_recipe_hash_tell_recipes_apart():
    base = Preprocessing()
    values = self_test(base, RECIPE)
    assert values.shape == (939,)
    assert np.array_equal(values, self_test(base, RECIPE))
    # No value hangs on the last bits of a cancellation: they differ between processors.
    assert (np.abs(values[values != 0]) > 1e-7).all()
    assert len(np.unique(values)) > 700
    other = RadiomicsRecipe(bin_width=8.0)
    assert self_test_digest(base, RECIPE) != self_test_digest(base, other)
    assert recipe_hash(base, RECIPE) == recipe_hash(Preprocessing(), RadiomicsRecipe())
    assert recipe_hash(base, RECIPE) != recipe_hash(base, other)
    assert recipe_hash(base, RECIPE) != recipe_hash(Preprocessing(crop=96), RECIPE)


def test_the_self_test_is_that_of_pyradiomics_alone(monkeypatch):
    # Sites with and without the features of the box may train together.
    base = Preprocessing()
    digest = self_test_digest(base, RECIPE)
    monkeypatch.setattr("client.imaging.radiomics.box_features", lambda *given: None)
    assert self_test_digest(base, RECIPE) == digest
