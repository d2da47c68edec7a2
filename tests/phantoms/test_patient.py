"""One phantom: its geometry, its contrast, its texture, and the physics of its scanner."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from client.phantoms.anatomy import THICKEST, draw_heart, draw_thickness, sample_heart
from client.phantoms.consortium import DEFAULT
from client.phantoms.patient import make_patient, seeds
from client.phantoms.scanner import Vendor, acquire, receive
from client.phantoms.tissue import Tissue, myocardial_texture, smooth_field

VENDOR = DEFAULT[0].vendor


def test_patients_depend_on_their_own_seed_only():
    first = make_patient(seeds(7, "a", 3), VENDOR, True, 50.0)
    again = make_patient(seeds(7, "a", 3), VENDOR, True, 50.0)
    assert np.array_equal(first.image, again.image)
    for other in (seeds(8, "a", 3), seeds(7, "b", 3), seeds(7, "a", 4)):
        assert not np.array_equal(first.image, make_patient(other, VENDOR, True, 50.0).image)


def test_scar_leaves_the_person_as_it_is():
    scarred = make_patient(seeds(7, "a", 3), VENDOR, True, 50.0)
    spared = make_patient(seeds(7, "a", 3), VENDOR, False, 50.0)
    assert (scarred.age, scarred.sex) == (spared.age, spared.sex)
    assert scarred.thickest > spared.thickest


def test_contrast_is_that_of_balanced_cine():
    for site in DEFAULT:
        patient = make_patient(seeds(1, site.name, 0), site.vendor, False, 50.0)
        # The display curve undone: the contrast is the tissue's, the curve the vendor's.
        image = patient.image.astype(float) ** (1.0 / site.vendor.gamma)
        means = [image[patient.mask == label].mean() for label in (1, 2, 3)]
        assert means[1] < 0.6 * min(means[0], means[2])
        assert patient.image.min() >= 0
        assert image[:, :8, :8].mean() < 0.5 * means[1]


def test_the_wall_is_as_thick_as_it_says():
    rng = np.random.default_rng(0)
    fine = replace(VENDOR, spacing=0.5, resolution=0.5, matrix=400)
    for thickest in (15.0, 24.0):
        heart = draw_heart(rng, thickest, female=False, scar=False)
        level = np.full((1, 1, 1), 0.35, np.float32)
        sampled = sample_heart(heart, *fine.grid(), level)
        wall = (sampled.left - sampled.cavity)[sampled.labels() == 2]
        assert wall.max() == pytest.approx(thickest - 0.25 * 0.35 * heart.wall, abs=0.3)
        assert wall.min() < 10.0


def test_wall_thickness_goes_with_scar_but_does_not_give_it_away():
    rng = np.random.default_rng(1)
    scar = np.array([draw_thickness(rng, True, 50.0) for _ in range(1500)])
    none = np.array([draw_thickness(rng, False, 50.0) for _ in range(1500)])
    assert THICKEST[0] <= min(scar.min(), none.min())
    assert max(scar.max(), none.max()) <= THICKEST[1]
    area = (scar[:, None] > none).mean() + 0.5 * (scar[:, None] == none).mean()
    assert 0.68 < area < 0.78


def test_fields_have_spread_one_and_their_correlation_length():
    field = smooth_field(np.random.default_rng(2), (40, 128, 128), 1.5, 3.0)
    assert field.dtype == np.float32
    assert field.std() == pytest.approx(1.0, abs=0.03)
    apart = (field[:, :, 4:] * field[:, :, :-4]).mean() / field.var()
    assert apart == pytest.approx(np.exp(-((6.0 / 6.0) ** 2)), abs=0.05)


def test_fibrosis_changes_the_texture_of_the_wall_and_not_its_mean():
    heart = draw_heart(np.random.default_rng(0), 18.0, female=False, scar=True)
    sampled = sample_heart(heart, *VENDOR.grid(), np.full((1, 1, 1), 0.35, np.float32))
    wall = sampled.labels() == 2
    spared, scarred = (
        myocardial_texture(
            np.random.default_rng(1),
            Tissue(heterogeneity=0.05, fibrosis=strength, where=heart.peak, extent=1.0),
            sampled,
            VENDOR.spacing,
        )[wall]
        for strength in (0.0, 1.0)
    )
    assert scarred.mean() == pytest.approx(spared.mean(), abs=0.01)
    assert scarred.std() > 2.0 * spared.std()


def test_noise_is_rician():
    plain = Vendor("V", "V1", 1.5, 1.0, 1.0, 8.0, 128, 0.05, 0.0, 1.0, 1000.0)
    ones = np.ones((4, 128, 128), np.float32)
    empty, full = (receive(np.random.default_rng(3), plain, k * ones, 0.05) for k in (0.0, 1.0))
    # A Rayleigh background: mean over spread is sqrt(pi / (4 - pi)), whatever the noise level.
    assert empty.mean() / empty.std() == pytest.approx(np.sqrt(np.pi / (4 - np.pi)), rel=0.03)
    # Where signal is high the magnitude is nearly Gaussian, its mean sqrt(signal^2 + spread^2).
    assert full.mean() == pytest.approx(np.sqrt(1.0 + full.std() ** 2), abs=0.002)


def test_stored_values_are_whole_and_follow_the_gain():
    plain = Vendor("V", "V1", 1.5, 1.0, 1.0, 8.0, 128, 0.05, 0.0, 1.0, 100.0)
    ones = np.ones((1, 128, 128), np.float32)
    means = [
        acquire(np.random.default_rng(3), replace(plain, gain=gain), ones).mean()
        for gain in (100.0, 1000.0)
    ]
    assert means[1] == pytest.approx(10 * means[0], rel=0.01)
    assert acquire(np.random.default_rng(3), replace(plain, gain=1e5), ones).max() == 4095


def test_mottle_is_smooth_unevenness_of_the_signal_alone():
    plain = Vendor("V", "V1", 1.5, 1.0, 1.0, 8.0, 128, 0.0, 0.0, 1.0, 1000.0, unsteady=0.0)
    mottled = replace(plain, mottle=0.2)
    ones = np.ones((4, 128, 128), np.float32)
    even, uneven = (
        acquire(np.random.default_rng(3), vendor, ones).astype(float) for vendor in (plain, mottled)
    )
    assert even.std() / even.mean() < 0.01
    assert uneven.std() / uneven.mean() == pytest.approx(0.2, abs=0.03)
    beside = np.corrcoef(uneven[:, :, 1:].ravel(), uneven[:, :, :-1].ravel())[0, 1]
    assert beside > 0.95
    assert not acquire(np.random.default_rng(3), mottled, 0.0 * ones).any()


def test_a_coarser_acquisition_blurs():
    sharp = Vendor("V", "V1", 1.5, 1.0, 1.0, 8.0, 128, 0.0, 0.0, 1.0, 1000.0)
    coarse = replace(sharp, resolution=2.5)
    step = np.zeros((1, 128, 128), np.float32)
    step[:, :, 40:90] = 1.0
    edges = [
        np.abs(np.diff(acquire(np.random.default_rng(4), vendor, step)[0, 64].astype(float))).max()
        for vendor in (sharp, coarse)
    ]
    assert edges[1] < 0.7 * edges[0]


def test_an_unsteady_protocol_spreads_noise_over_patients():
    plain = Vendor("V", "V1", 1.5, 1.0, 1.0, 8.0, 64, 0.03, 0.0, 1.0, 1000.0)
    ones = np.ones((1, 64, 64), np.float32)

    def spread(unsteady: float) -> float:
        vendor = replace(plain, unsteady=unsteady)
        images = [acquire(np.random.default_rng(n), vendor, ones) for n in range(60)]
        return float(np.std([np.log(image.std() / image.mean()) for image in images]))

    assert spread(0.0) < 0.05
    assert spread(2.0) == pytest.approx(2.0 * spread(1.0), rel=0.25)


def test_a_resolution_finer_than_the_pixels_is_refused():
    with pytest.raises(ValueError, match="finer"):
        replace(VENDOR, resolution=1.0, spacing=1.2)
