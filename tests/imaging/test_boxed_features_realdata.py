"""On real hearts, what is measured in the box is what PyRadiomics measures: every feature."""

from pathlib import Path

import numpy as np
import pytest
from pyradiomics_alone import assert_equal
from scipy import ndimage

from client.imaging.measure import choose_slices, single_thread
from client.imaging.preprocess import PreparedSlice, Preprocessing, prepare_slice
from client.imaging.radiomics import RadiomicsRecipe
from client.imaging.reading import read_pair

HEARTS = Path(__file__).resolve().parents[3] / "shared" / "data" / "mnms-hcm"
SLICES = 64
RECIPE = RadiomicsRecipe()

pytestmark = [
    pytest.mark.realdata,
    pytest.mark.slow,
    pytest.mark.skipif(not HEARTS.is_dir(), reason=f"no M&Ms hearts at {HEARTS}"),
    pytest.mark.filterwarnings("ignore::RuntimeWarning:radiomics.*"),
]


@pytest.fixture(scope="module")
def slices() -> list[PreparedSlice]:
    """One slice of each of many cases, from base to apex in turn, ED and ES, both centres."""
    images = sorted(HEARTS.glob("centre*/*/*_sa_E[DS].nii.gz"))
    found = []
    for turn, path in enumerate(images[:: len(images) // SLICES][:SLICES]):
        truth = path.with_name(path.name.replace(".nii.gz", "_gt.nii.gz"))
        volume, mask = read_pair(path, truth, None, 2)
        spacing = (volume.spacing[0], volume.spacing[1])
        preparing = Preprocessing(intensity=("percentile", "minmax")[turn % 2])
        chosen = choose_slices(mask, spacing, None, preparing)
        z = chosen[turn % len(chosen)]
        found.append(prepare_slice(volume.array[z], mask[z], spacing, preparing))
    return found


def test_every_feature_of_many_slices(slices):
    assert len(slices) == SLICES
    with single_thread():
        assert all([assert_equal(each, RECIPE) for each in slices])


@pytest.mark.parametrize("bin_width", [2.0, 25.0])
def test_other_bin_widths(slices, bin_width):
    with single_thread():
        for each in slices[::7]:
            assert assert_equal(each, RadiomicsRecipe(bin_width=bin_width))


def test_odd_masks_on_real_pixels(slices):
    rng = np.random.default_rng(1)
    with single_thread():
        for each in slices[::7]:
            mask = each.mask
            edge = mask & ~ndimage.binary_erosion(mask)
            few = np.zeros_like(mask)
            y, x = (int(index[len(index) // 2]) for index in np.nonzero(mask))
            few[y : y + 2, x : x + 3] = True
            sparse = mask & (rng.random(mask.shape) < 0.3)
            for odd in (edge, few, sparse, ndimage.binary_dilation(mask, iterations=9)):
                assert_equal(PreparedSlice(each.image, odd, each.spacing_mm), RECIPE)
