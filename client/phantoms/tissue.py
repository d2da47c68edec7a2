"""Texture: smooth random fields, the heterogeneity of myocardium, and what scar changes in it.

On cine images without contrast agent scar is nearly invisible. What is left of it, and what the
radiomics of Fahmy et al. (J Cardiovasc Magn Reson 2022;24:40) live on, is a slight change of
texture: here a wide patchy region about the thickest part of the wall, in which the signal varies
more and over longer distances than elsewhere. The mean signal of the wall stays as it is: on cine
it tells of the scanner more than of scar. Some such fibrosis is in every hypertrophic heart; those
with scar have more of it, and the two classes overlap.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import fft

from client.phantoms.anatomy import Floats, Heart, Sampled, turn

HETEROGENEITY = 0.08, 0.3
"""Relative spread of the signal in any myocardium: median over patients, and its log-spread."""
GRAIN = 3.2
"""Correlation length of that heterogeneity, mm."""
SCAR_LIFT = 0.1
"""How much brighter fibrosis of strength 1 is than the wall around it, relative to that."""
SCAR_SPREAD = 0.35
"""Relative spread of the signal that fibrosis of strength 1 adds."""
PATCH = 10.0
"""Correlation length of the ragged border of fibrosis, mm."""
SCAR_GRAIN = 8.0
"""Correlation length inside fibrosis, mm."""
STRENGTH = 0.8, 0.3
"""Median strength of fibrosis with scar, and without it."""
STRENGTH_SPREAD = 0.7
"""Log-spread of that strength over patients of either class: they overlap, as in life."""
STRONGEST = 1.6
"""The strength is held to this: brighter would be plain to the eye."""


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
    """One patient's myocardium.

    `heterogeneity` is the relative spread of the signal everywhere; `fibrosis` the strength of the
    change in the region about the angle `where` (radians), `extent` radians to each side.
    """

    heterogeneity: float
    fibrosis: float
    where: float
    extent: float


def draw_tissue(rng: np.random.Generator, heart: Heart, scar: bool, age: float) -> Tissue:
    """Draw the tissue of one patient; heterogeneity rises mildly with age (years)."""
    median, spread = HETEROGENEITY
    aged = 1.0 + 0.003 * (age - 52.0)
    strength = STRENGTH[0 if scar else 1] * float(rng.lognormal(0.0, STRENGTH_SPREAD))
    return Tissue(
        heterogeneity=median * aged * float(rng.lognormal(0.0, spread)),
        fibrosis=min(strength, STRONGEST),
        where=heart.peak + float(rng.normal(0.0, 0.3)),
        extent=float(rng.uniform(1.6, 2.4)),
    )


def myocardial_texture(
    rng: np.random.Generator, tissue: Tissue, sampled: Sampled, spacing: float
) -> Floats:
    """Factor on the myocardial signal, about 1, as (slices, rows, columns); `spacing` in mm.

    A patient draws the same numbers whatever its fibrosis, so its twin without scar differs from it
    by the scar alone.
    """
    slices, rows, columns = sampled.angle.shape
    shape = (slices, rows, columns)
    even = smooth_field(rng, shape, spacing, GRAIN / 2)
    patches = smooth_field(rng, shape, spacing, PATCH / 2)
    coarse = smooth_field(rng, shape, spacing, SCAR_GRAIN / 2)
    off = np.abs(turn(sampled.angle - tissue.where))
    depth = np.clip(np.minimum(sampled.left, -sampled.cavity) / 3.0, 0.0, 1.0)
    inside = 1.6 * (tissue.extent - off) + 0.9 * patches + 0.4 * depth
    region = 1.0 / (1.0 + np.exp(np.clip(-3.0 * inside, -30.0, 30.0)))
    change = tissue.fibrosis * region * (SCAR_LIFT + SCAR_SPREAD * coarse)
    wall = (sampled.left > 0) & (sampled.cavity <= 0)
    mean = (change * wall).sum(axis=(1, 2)) / np.maximum(wall.sum(axis=(1, 2)), 1)
    change = change - mean[:, None, None]
    limited: Floats = np.clip(1.0 + tissue.heterogeneity * even + change, 0.3, 2.2)
    return limited
