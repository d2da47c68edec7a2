"""Preprocessing of one slice: geometry, intensities, and nothing cut off in silence."""

from dataclasses import replace

import numpy as np
import pytest

from client.imaging.preprocess import (
    Preprocessing,
    crop_window,
    prepare_slice,
    scale_intensity,
    slices_of,
)
from common.errors import ImageError

RECIPE = Preprocessing()


def ring(shape=(192, 192), center=(96, 96), inner=20, outer=28):
    y, x = np.ogrid[: shape[0], : shape[1]]
    r = np.hypot(y - center[0], x - center[1])
    mask = (r >= inner) & (r < outer)
    image = (100 + 300 * (r < inner) + 0.5 * np.arange(shape[1])[None, :]).astype(np.float32)
    return image, mask


def test_at_the_target_spacing_pixels_are_moved_but_not_touched():
    image, mask = ring()
    prepared = prepare_slice(image, mask, (1.0, 1.0), RECIPE)
    assert prepared.image.shape == prepared.mask.shape == (256, 256)
    assert prepared.image.dtype == np.float32
    assert np.array_equal(prepared.mask[32:224, 32:224], mask)
    assert np.allclose(
        prepared.image[32:224, 32:224], (image - image.min()) / np.ptp(image), atol=1e-6
    )
    assert prepared.image.min() == 0
    assert prepared.image.max() == 1
    assert not prepared.image[:32].any()


@pytest.mark.parametrize("spacing", [(1.32, 1.32), (0.8, 0.8), (1.4, 1.1)])
def test_resampling_keeps_area_and_centre(spacing):
    image, mask = ring()
    prepared = prepare_slice(image, mask, spacing, RECIPE)
    area = mask.sum() * spacing[0] * spacing[1]
    assert prepared.mask.sum() == pytest.approx(area, rel=0.03)
    rows, columns = np.nonzero(prepared.mask)
    assert (rows.mean(), columns.mean()) == pytest.approx((127.9, 127.9), abs=0.8)


def test_linear_resampling_of_a_ramp_is_the_ramp():
    image = np.tile(np.arange(100.0), (100, 1))
    mask = np.zeros((100, 100), dtype=bool)
    mask[40:60, 40:60] = True
    prepared = prepare_slice(image, mask, (2.0, 2.0), RECIPE)
    step = np.diff(prepared.image[128, 40:200])
    assert np.allclose(step, step[0], atol=1e-6)


@pytest.mark.parametrize("interpolation", ["linear", "bspline"])
def test_preparation_is_deterministic(interpolation):
    image, mask = ring()
    recipe = replace(RECIPE, interpolation=interpolation)
    one, two = (prepare_slice(image, mask, (1.32, 1.32), recipe) for _ in range(2))
    assert one.image.tobytes() == two.image.tobytes()
    assert one.mask.tobytes() == two.mask.tobytes()


def test_percentiles_clip():
    image = np.arange(10_000.0).reshape(100, 100)
    scaled = scale_intensity(image, replace(RECIPE, intensity="percentile"))
    assert scaled.min() == 0
    assert scaled.max() == 1
    assert (scaled == 1).sum() == pytest.approx(50, abs=2)
    assert (scale_intensity(image, RECIPE) == 1).sum() == 1


def test_images_that_say_nothing_are_refused():
    image, mask = ring()
    with pytest.raises(ImageError, match="constant"):
        prepare_slice(np.full_like(image, 7), mask, (1.0, 1.0), RECIPE)
    image[3, 4] = np.nan
    with pytest.raises(ImageError, match="1 pixels that are not a number"):
        prepare_slice(image, mask, (1.0, 1.0), RECIPE)
    with pytest.raises(ImageError, match="its mask"):
        prepare_slice(image, mask[:10], (1.0, 1.0), RECIPE)
    with pytest.raises(ImageError, match="no myocardium"):
        prepare_slice(ring()[0], np.zeros_like(mask), (1.0, 1.0), RECIPE)


def test_the_field_must_hold_the_myocardium():
    image, mask = ring((400, 400), center=(200, 60))
    with pytest.raises(ImageError, match=r"cut off \d+ pixels") as caught:
        prepare_slice(image, mask, (1.0, 1.0), RECIPE)
    assert "size" in caught.value.fix


def test_the_crop_lies_around_the_centroid():
    image, mask = ring(center=(70, 120))
    prepared = prepare_slice(image, mask, (1.0, 1.0), RECIPE)
    cropped = prepared.mask[crop_window(prepared.mask, RECIPE)]
    assert cropped.shape == (128, 128)
    assert cropped.sum() == mask.sum()
    rows, columns = np.nonzero(cropped)
    assert (rows.mean(), columns.mean()) == pytest.approx((64, 64), abs=0.51)


def test_crop_around_the_image_centre_refuses_to_cut():
    near = prepare_slice(*ring(center=(90, 100)), (1.0, 1.0), RECIPE)
    paper = replace(RECIPE, crop_center="image")
    assert crop_window(near.mask, paper) == (slice(64, 192), slice(64, 192))
    far = prepare_slice(*ring(center=(40, 96)), (1.0, 1.0), RECIPE)
    with pytest.raises(ImageError, match="would cut the myocardium") as caught:
        crop_window(far.mask, paper)
    assert "crop_center" in caught.value.fix


def test_crop_moves_to_stay_in_the_field():
    prepared = prepare_slice(*ring((256, 256), center=(30, 128)), (1.0, 1.0), RECIPE)
    assert crop_window(prepared.mask, RECIPE) == (slice(0, 128), slice(64, 192))
    with pytest.raises(ImageError, match="crop"):
        crop_window(prepared.mask, replace(RECIPE, crop=40))


def test_slices_with_enough_myocardium_count_resampled_pixels():
    mask = np.zeros((4, 20, 20), dtype=bool)
    mask[1, :1, :19] = True
    mask[2, :2, :10] = True
    assert slices_of(mask, (1.0, 1.0), RECIPE) == (2,)
    assert slices_of(mask, (2.0, 2.0), RECIPE) == (1, 2)
    assert slices_of(mask, (1.0, 1.0), replace(RECIPE, minimum_pixels=0)) == (1, 2)
