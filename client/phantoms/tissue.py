"""Texture: smooth random fields, the heterogeneity of myocardium, and what scar changes in it.

On cine images without contrast agent scar is nearly invisible. What is left of it, and what the
radiomics of Fahmy et al. (J Cardiovasc Magn Reson 2022;24:40) live on, is a slight change of
texture: here a patchy region about the thickest part of the wall, a little brighter, in which the
signal varies more and over longer distances than in tissue without scar.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import fft

from client.phantoms.anatomy import Floats, Heart, Sampled

HETEROGENEITY = 0.08, 0.3
"""Relative spread of the signal in any myocardium: median over patients, and its log-spread."""
GRAIN = 3.2
"""Correlation length of that heterogeneity, mm."""
SCAR_LIFT = 0.14
"""Mean relative change of signal inside fibrosis of strength 1."""
SCAR_SPREAD = 0.14
"""Relative spread of the signal that fibrosis of strength 1 adds."""
SCAR_GRAIN = 5.5
"""Correlation length inside fibrosis, mm."""
STRENGTH = 1.0, 0.31
"""Median strength of fibrosis with scar, and without it."""
STRENGTH_SPREAD = 0.75
"""Log-spread of that strength over patients of either class: they overlap, as in life."""


def smooth_field(
    rng: np.random.Generator, shape: tuple[int, int, int], spacing: float, length: float
) -> Floats:
    """A Gaussian random field (slices, rows, columns), mean 0, spread 1, independent by slice.

    White noise is filtered in the frequency domain, so the field wraps around at the edges. Its
    autocorrelation is exp(-(d / (2 length))^2), with `length` and `spacing` in mm.
    """
    noise = rng.standard_normal(shape, dtype=np.float32)
    rows = fft.fftfreq(shape[1], spacing).astype(np.float32)[:, None]
    columns = fft.rfftfreq(shape[2], spacing).astype(np.float32)[None, :]
    passed = np.exp(-2.0 * (np.pi * length) ** 2 * (rows**2 + columns**2)).astype(np.float32)
    # The variance that passes, counting the columns that a real transform leaves out twice.
    twice = np.full(columns.shape, 2.0, np.float32)
    twice[:, 0] = 1.0
    if shape[2] % 2 == 0:
        twice[:, -1] = 1.0
    power = float((passed**2 * twice).sum()) / (shape[1] * shape[2])
    spectrum = fft.rfft2(noise, axes=(1, 2)) * passed
    field: Floats = fft.irfft2(spectrum, s=shape[1:], axes=(1, 2)) / np.float32(np.sqrt(power))
    return field


@dataclass(frozen=True)
class Tissue:
    """One patient's myocardium: `heterogeneity` and `scar` as relative strengths (scar 0: none)."""

    heterogeneity: float
    scar: float
    where: float
    extent: float


def draw_tissue(rng: np.random.Generator, heart: Heart, scar: bool, age: float) -> Tissue:
    """Draw the tissue of one patient; heterogeneity rises mildly with age (years)."""
    median, spread = HETEROGENEITY
    aged = 1.0 + 0.003 * (age - 52.0)
    heterogeneity = median * aged * float(rng.lognormal(0.0, spread))
    strength = STRENGTH[0 if scar else 1] * float(rng.lognormal(0.0, STRENGTH_SPREAD))
    where = heart.peak + float(rng.normal(0.0, 0.3))
    extent = float(rng.uniform(0.8, 1.2))
    return Tissue(heterogeneity, min(strength, 2.5), where, extent)


def myocardial_texture(
    rng: np.random.Generator, tissue: Tissue, sampled: Sampled, spacing: float
) -> Floats:
    """Factor on the myocardial signal, about 1, as (slices, rows, columns).

    The same random numbers are used with and without scar, so that a patient differs from its twin
    without scar by the scar alone.
    """
    shape = (sampled.angle.shape[0], sampled.angle.shape[1], sampled.angle.shape[2])
    texture = 1.0 + tissue.heterogeneity * smooth_field(rng, shape, spacing, GRAIN / 2)
    patches = smooth_field(rng, shape, spacing, 5.0)
    coarse = smooth_field(rng, shape, spacing, SCAR_GRAIN / 2)
    if tissue.scar > 0.0:
        off = np.abs(np.angle(np.exp(1j * (sampled.angle - tissue.where)))).astype(np.float32)
        middle = np.minimum(sampled.left, -sampled.cavity) / 3.0
        inside = 1.6 * (tissue.extent - off) + 0.9 * patches + 0.4 * np.clip(middle, 0.0, 1.0)
        region = 1.0 / (1.0 + np.exp(np.clip(-3.0 * inside, -30.0, 30.0)))
        texture = texture + tissue.scar * region * (SCAR_LIFT + SCAR_SPREAD * coarse)
    limited: Floats = np.clip(texture, 0.3, 2.2).astype(np.float32)
    return limited
