"""Weights and changes in 8 bits: what is lost, what is carried over, and what can never wrap."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from common.coarse import (
    BLOCK,
    MOST_SITES,
    TOP,
    change_of,
    coarsened,
    levels_of,
    most_levels,
    refined,
    step_of,
)
from common.study_tables import Training

RNG = np.random.default_rng(3)


@pytest.mark.parametrize("size", [1, BLOCK - 1, BLOCK, BLOCK + 1, 1000])
def test_a_weight_is_off_by_half_a_level_of_its_block_at_most(size: int) -> None:
    weights = (RNG.normal(size=size) * np.repeat(10.0 ** np.arange(4), 250)[:size]).astype(
        np.float32
    )
    levels, scales = coarsened(weights)
    assert (levels.dtype, levels.shape) == (np.int8, weights.shape)
    assert (scales.dtype, scales.shape) == (np.float32, (-(-size // BLOCK),))
    for number, scale in enumerate(scales):
        own = slice(number * BLOCK, (number + 1) * BLOCK)
        assert scale == np.abs(weights[own]).max() / np.float32(127)
        off = np.abs(refined(levels, scales)[own] - weights[own])
        assert off.max() <= 0.5001 * scale
        assert np.abs(levels[own]).max() == 127


def test_zeros_stay_zeros_and_enormous_and_tiny_numbers_are_no_trouble() -> None:
    weights = np.zeros(2 * BLOCK, np.float32)
    weights[-1] = 1e38
    found = refined(*coarsened(weights))
    assert not found[:-1].any()
    np.testing.assert_allclose(found[-1], weights[-1], rtol=1e-6)
    weights[-1] = 1e-44
    assert np.abs(refined(*coarsened(weights))).max() <= 2e-44


def test_scales_that_are_not_those_of_the_blocks_are_refused() -> None:
    levels, scales = coarsened(np.ones(BLOCK + 1, np.float32))
    for wrong in (scales[:1], np.append(scales, scales), scales[:, None]):
        with pytest.raises(ValueError, match="scales"):
            refined(levels, wrong)


@given(
    some.lists(some.integers(1, 10_000), min_size=1, max_size=MOST_SITES),
    some.integers(0, 50_000),
)
def test_the_sites_never_have_more_than_the_range(slices: list[int], others: int) -> None:
    """Whatever their sizes, and however many of all slices are with sites that are missing."""
    of_all, sites = sum(slices) + others, MOST_SITES if others else len(slices)
    most = [most_levels(own / of_all, sites) for own in slices]
    assert min(most) >= 1
    assert sum(most) <= TOP


def test_what_rounding_leaves_over_arrives_in_later_rounds() -> None:
    """The sum of all that was told stays within a level of the sum of all that was to be told."""
    step, most, rounds = 2.0**-14, 5, 200
    changes = RNG.normal(scale=0.3 * step, size=(rounds, 400)).astype(np.float32)
    changes[:, :4] = [0.4 * step, -0.4 * step, 0.01 * step, 4.9 * step]
    told, left = np.zeros(400), np.zeros(400, np.float32)
    for change in changes:
        levels, left = levels_of(change + left, step, most)
        told += change_of(levels, step)
    assert np.abs(told - changes.sum(axis=0)).max() <= 0.51 * step
    # Each round on its own would never have told of the first three.
    alone = sum(change_of(levels_of(change, step, most)[0], step) for change in changes)
    assert not np.asarray(alone)[:3].any()


def test_what_is_beyond_a_site_s_part_is_cut_off_and_carried_over() -> None:
    levels, left = levels_of(np.array([9.0, -9.0, 2.4], np.float32), 1.0, 5)
    assert levels.tolist() == [5, -5, 2]
    np.testing.assert_allclose(left, [4.0, -4.0, 0.4], rtol=1e-6)


def test_a_level_is_a_power_of_two_and_the_range_holds_a_site_s_steps() -> None:
    training = Training(learning_rate=5e-4, batch_size=8, local_epochs=2)
    step = step_of(training, slices=3 * 64, sites=3)
    assert np.log2(step) == int(np.log2(step))
    farthest = 2 * 8 * 5e-4
    assert 0.5 * farthest < TOP * step <= farthest
    # More epochs, or more slices a site, and a level is larger; more sites of a size and it is not.
    assert step_of(training, slices=6 * 64, sites=3) == 2 * step
    assert step_of(training, slices=30 * 64, sites=30) == step
