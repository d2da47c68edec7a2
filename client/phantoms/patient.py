"""One phantom patient: anatomy, tissue and scanner put together into a stack with its mask."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from client.phantoms.anatomy import (
    Floats,
    Sampled,
    draw_heart,
    draw_thickness,
    sample_heart,
)
from client.phantoms.scanner import Vendor, acquire
from client.phantoms.tissue import draw_tissue, myocardial_texture, smooth_field
from client.phantoms.torso import MUSCLE, draw_torso, over, surroundings

LEFT_BLOOD, RIGHT_BLOOD, MYOCARDIAL = 0.96, 0.88, 0.36
"""Signal of the tissues of the heart, relative to blood = 1."""


@dataclass(frozen=True)
class Patient:
    """A phantom: image (int16) and mask (uint8), both (slices, rows, columns), base to apex.

    `thickest` is the maximal wall thickness (mm), `age` in whole years, `sex` 'F' or 'M'.
    """

    image: NDArray[np.int16]
    mask: NDArray[np.uint8]
    thickest: float
    age: int
    sex: str


def seeds(seed: int, site: str, index: int) -> np.random.SeedSequence:
    """The source of randomness of one patient: depends on nothing but the three arguments."""
    name = int.from_bytes(hashlib.sha256(site.encode()).digest()[:8], "big")
    return np.random.SeedSequence([seed, name, index])


def make_patient(
    source: np.random.SeedSequence, vendor: Vendor, scar: bool, mean_age: float, slices: int = 5
) -> Patient:
    """Make one patient on one scanner.

    Person, shape, tissue, scenery and scanner draw from streams of their own, so that a change in
    one leaves the others as they are.
    """
    person, shape, tissue_rng, scenery, machine = (
        np.random.default_rng(entropy) for entropy in source.spawn(5)
    )
    female = bool(person.random() < 0.4)
    age = int(np.clip(round(person.normal(mean_age, 13.0)), 18, 88))

    thickest = draw_thickness(shape, scar, age)
    heart = draw_heart(shape, thickest, female, scar)
    grid = vendor.grid()
    # Slices fill the part of the long axis from base to apex evenly, so few of them lie midway.
    level = (0.05 + 0.75 * (np.arange(slices, dtype=np.float32) + 0.5) / slices)[:, None, None]
    sampled = sample_heart(heart, *grid, level)

    tissue = draw_tissue(tissue_rng, heart, scar, age)
    texture = myocardial_texture(tissue_rng, tissue, sampled, vendor.spacing)
    torso = draw_torso(scenery, heart, female)
    signal = surroundings(scenery, torso, sampled, grid, vendor.spacing)
    signal = _lay_heart(scenery, signal, sampled, texture, vendor.spacing)
    return Patient(
        image=acquire(machine, vendor, signal),
        mask=sampled.labels(),
        thickest=thickest,
        age=age,
        sex="F" if female else "M",
    )


def _lay_heart(
    rng: np.random.Generator, signal: Floats, sampled: Sampled, texture: Floats, spacing: float
) -> Floats:
    """Lay walls, blood and papillary muscles over the surroundings; all (slices, rows, columns)."""
    slices, rows, columns = signal.shape
    flow = smooth_field(rng, (slices, rows, columns), spacing, 6.0)
    muscle = MYOCARDIAL * float(rng.lognormal(0.0, 0.08))
    edge = 1.1 * spacing
    signal = over(signal, sampled.outline, MUSCLE, edge)
    # Trabeculae roughen the inner edges: the mask's contour is smooth, the blood's is not.
    rough = smooth_field(rng, (slices, rows, columns), spacing, 1.4)
    right = sampled.right + 0.9 * np.minimum(rough, 0.5)
    signal = over(signal, right, RIGHT_BLOOD * (1.0 + 0.05 * flow), edge)
    signal = over(signal, sampled.left, muscle * texture, edge)
    left = np.minimum(sampled.cavity, sampled.cavity + 1.1 * rough)
    signal = over(signal, left, LEFT_BLOOD * (1.0 + 0.04 * flow), edge)
    return over(signal, np.minimum(sampled.papillary + 0.6 * rough, left), muscle, edge)
