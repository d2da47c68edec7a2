"""Noise: the same for the same question, independent for another, and normal."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kstest

from common.privacy.secret_noise import (
    GRID_BITS,
    SecretNoise,
    SecretTooShort,
    digest_of,
    name_of,
)

SECRET = bytes(range(32))
MANY = 200_000


def stream(secret: bytes = SECRET, purpose: bytes = b"noise", subject: bytes = b"s") -> SecretNoise:
    return SecretNoise(secret, purpose, subject)


def test_the_same_question_gets_the_same_noise() -> None:
    assert np.array_equal(stream().normals(50), stream().normals(50))
    one = stream()
    parts = np.concatenate([one.normals(20), one.normals(30)])
    assert np.array_equal(parts, stream().normals(50))


@pytest.mark.parametrize(
    "other",
    [
        stream(secret=bytes(32)),
        stream(purpose=b"nois", subject=b"es"),
        stream(subject=b"t"),
        stream(purpose=b"patients"),
    ],
)
def test_anything_else_gets_independent_noise(other: SecretNoise) -> None:
    mine, theirs = stream().normals(MANY), other.normals(MANY)
    assert abs(float(np.corrcoef(mine, theirs)[0, 1])) < 5.0 / np.sqrt(MANY)


def test_noise_is_standard_normal() -> None:
    drawn = stream().normals(MANY)
    assert kstest(drawn, "norm").pvalue > 1e-3
    assert float(drawn.var()) == pytest.approx(1.0, abs=5.0 * np.sqrt(2.0 / MANY))
    assert abs(float(np.corrcoef(drawn[:-1], drawn[1:])[0, 1])) < 5.0 / np.sqrt(MANY)


def test_uniforms_are_uniform() -> None:
    drawn = stream().uniforms(MANY)
    assert drawn.min() >= 0.0
    assert drawn.max() < 1.0
    assert kstest(drawn, "uniform").pvalue > 1e-3


@pytest.mark.parametrize("scale", [1e-6, 0.3, 7.0])
def test_the_sum_lies_on_a_grid_that_is_small_against_the_noise(scale: float) -> None:
    values = np.linspace(-3.0, 3.0, 60).reshape(3, 20).astype(np.float32)
    noisy = stream().added_to(values, scale)
    grid = 2.0 ** (np.floor(np.log2(scale)) - GRID_BITS)
    assert noisy.shape == values.shape
    assert np.array_equal(noisy / grid, np.rint(noisy / grid))
    exact = values.astype(np.float64) + scale * stream().normals(60).reshape(3, 20)
    assert np.abs(noisy - exact).max() <= grid / 2.0
    assert grid <= scale / 2.0**GRID_BITS


def test_no_noise_changes_nothing() -> None:
    values = np.array([0.1, -2.0, np.pi])
    assert np.array_equal(stream().added_to(values, 0.0), values)


def test_a_short_secret_is_refused() -> None:
    with pytest.raises(SecretTooShort, match="31 bytes"):
        stream(secret=bytes(31))


def test_digests_tell_apart_what_is_not_the_same() -> None:
    flat = np.arange(6.0)
    parts: list[tuple[object, ...]] = [
        (flat,), (flat.reshape(2, 3),), (flat.astype(np.float32),), (flat[:3], flat[3:]),
        ("ab", "c"), ("a", "bc"), ("abc",), (b"abc", b""), (),
    ]  # fmt: skip
    digests = {digest_of(*part) for part in parts}  # type: ignore[arg-type]
    assert len(digests) == len(parts)
    assert digest_of(flat.reshape(2, 3).T) == digest_of(flat.reshape(2, 3).T.copy())


def test_names_need_the_secret() -> None:
    assert name_of(SECRET, b"s") == name_of(SECRET, b"s")
    assert len({name_of(SECRET, b"s"), name_of(SECRET, b"t"), name_of(bytes(32), b"s")}) == 3
    assert len(name_of(SECRET, b"s")) == 32
