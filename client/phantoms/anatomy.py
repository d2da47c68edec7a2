"""The heart of one phantom: an analytic short-axis ventricle with asymmetric hypertrophy.

Every outline is a curve r(angle) around the axis of the left ventricle, so that the heart can be
sampled on any pixel grid. Lengths are millimetres; angles are radians in the image (x to the
right, y downwards), so the septum, which faces the right ventricle, lies near pi. A level is the
place along the long axis: 0 at the base, 1 at the apex.

The sizes follow adult reference ranges for cine MR (end-diastolic cavity about 45 to 50 mm across,
normal wall 6 to 10 mm; Kawel-Boehm et al., J Cardiovasc Magn Reson 2020;22:87) and the usual
definition of hypertrophic cardiomyopathy, a wall of 15 mm or more (13 mm in relatives).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]

CAVITY, MYOCARDIUM, RIGHT = 1, 2, 3
"""Label values of the mask, as in the M&Ms challenge; 0 is background."""

THICKEST = 13.0, 30.0
"""Limits of the maximal wall thickness, mm."""

THICKER = 3.2
"""How much thicker the wall is with scar, on average, mm."""

RIGHT_WALL = 3.0
"""Thickness of the free wall of the right ventricle, mm."""


@dataclass(frozen=True)
class Heart:
    """Shape of one patient's ventricles at end-diastole (mm and radians).

    `wall` is the free wall, `thickest` the maximum, reached at angle `peak` and fading over
    `spread` around it; `ripple` holds amplitude and phase of the outline's low harmonics.
    """

    centre: tuple[float, float]
    tilt: tuple[float, float]
    cavity: float
    wall: float
    thickest: float
    peak: float
    spread: float
    septum: float
    right_depth: float
    right_span: float
    ripple: tuple[tuple[float, float], ...]
    papillaries: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Sampled:
    """A heart on a pixel grid; every array is (slices, rows, columns).

    `cavity`, `left`, `right`, `outline` and `papillary` are signed distances to the edge in mm,
    positive inside (`left` is the epicardium of the left ventricle, `outline` the whole heart with
    the right free wall). `radius` (mm) and `angle` (radians) are polar around the axis.
    """

    cavity: Floats
    left: Floats
    right: Floats
    outline: Floats
    papillary: Floats
    radius: Floats
    angle: Floats

    def labels(self) -> NDArray[np.uint8]:
        """The label mask; papillary muscles count as cavity, as in the M&Ms contours."""
        mask = np.zeros(self.left.shape, np.uint8)
        mask[self.right > 0] = RIGHT
        mask[self.left > 0] = MYOCARDIUM
        mask[self.cavity > 0] = CAVITY
        return mask


def draw_heart(rng: np.random.Generator, thickest: float, female: bool, scar: bool) -> Heart:
    """Draw a heart whose maximal wall thickness is `thickest` mm; position and rotation vary.

    With scar the hypertrophy spreads a little further around the wall and the cavity is a little
    wider: more mass at the same thickness.
    """
    size = (0.94 if female else 1.02) * float(rng.lognormal(0.0, 0.05))
    septum = np.pi - 0.25 + float(rng.normal(0.0, 0.18))
    return Heart(
        centre=(float(rng.normal(6.0, 7.0)), float(rng.normal(0.0, 7.0))),
        tilt=(float(rng.normal(5.0, 3.0)), float(rng.normal(4.0, 3.0))),
        cavity=25.2 * size + (1.0 if scar else 0.0) - 0.12 * (thickest - THICKEST[0]),
        wall=float(np.clip(rng.normal(8.0, 0.9), 6.0, 10.0)),
        thickest=thickest,
        peak=septum + float(rng.normal(0.25, 0.35)),
        spread=float(rng.uniform(0.7, 1.1)) + (0.08 if scar else 0.0),
        septum=septum,
        right_depth=31.0 * size * float(rng.lognormal(0.0, 0.12)),
        right_span=float(rng.uniform(1.15, 1.4)),
        ripple=tuple(
            (float(rng.normal(0.0, 0.035)), float(rng.uniform(-np.pi, np.pi))) for _ in range(3)
        ),
        papillaries=tuple(
            (septum + np.pi + side + float(rng.normal(0.0, 0.15)), float(rng.uniform(3.0, 4.8)))
            for side in (-0.75, 0.85)
        ),
    )


def draw_thickness(rng: np.random.Generator, scar: bool, age: float) -> float:
    """Draw the maximal wall thickness in mm: normal, a little thicker with scar and with age.

    Two normal distributions of one spread are the same statement as a probability of scar that
    rises with thickness along a logistic curve; this way round a site's prevalence stays exact.
    """
    mean = 18.0 + (THICKER if scar else 0.0) + 0.02 * (age - 52.0)
    return float(np.clip(rng.normal(mean, 3.4), *THICKEST))


def sample_heart(heart: Heart, x: Floats, y: Floats, level: Floats) -> Sampled:
    """Sample a heart at x (1, 1, columns) and y (1, rows, 1) in mm, level (slices, 1, 1)."""
    across = x - (heart.centre[0] + heart.tilt[0] * level)
    down = y - (heart.centre[1] + heart.tilt[1] * level)
    radius = np.hypot(across, down)
    angle = np.arctan2(down, across)

    taper = np.sqrt(1.0 - (0.86 * level) ** 2)
    outline = sum(
        amplitude * np.cos(order * angle + phase)
        for order, (amplitude, phase) in enumerate(heart.ripple, start=2)
    )
    endocardium = heart.cavity * taper * (1.0 + outline)
    # Hypertrophy is strongest between the base and the middle and fades towards the apex.
    extra = (heart.thickest - heart.wall) * np.exp(-(((level - 0.35) / 0.55) ** 2))
    bump = np.exp(-((turn(angle - heart.peak) / heart.spread) ** 2))
    thickness = heart.wall * (1.0 - 0.25 * level) + extra * bump
    epicardium = endocardium + thickness

    swing = turn(angle - heart.septum) / (heart.right_span * (1.0 - 0.25 * level))
    crescent = np.maximum(np.cos(np.clip(swing, -1.0, 1.0) * (np.pi / 2)), 0.0) ** 0.8
    depth = heart.right_depth * (1.0 - 0.75 * level**1.5) * crescent
    # The inner edge of the crescent stops half a pixel short of the septum's own surface.
    right = np.minimum(epicardium + depth - radius, radius - epicardium - 0.3)
    wall = RIGHT_WALL * np.minimum(1.0, depth / 6.0)

    return Sampled(
        cavity=endocardium - radius,
        left=epicardium - radius,
        right=right,
        outline=epicardium + depth + wall - radius,
        papillary=_papillaries(heart, across, down, endocardium, taper, level),
        radius=radius,
        angle=angle,
    )


def turn(angle: Floats) -> Floats:
    """The angle brought into (-pi, pi]."""
    turned: Floats = np.remainder(angle + np.pi, 2 * np.pi) - np.pi
    return turned


def _papillaries(
    heart: Heart, across: Floats, down: Floats, endocardium: Floats, taper: Floats, level: Floats
) -> Floats:
    """Signed distance to the two papillary muscles (mm); they fade at the base and at the apex."""
    present = np.clip(1.0 - ((level - 0.5) / 0.42) ** 2, 0.0, 1.0) ** 0.5
    parts = []
    for angle, radius in heart.papillaries:
        seat = heart.cavity * taper - 0.6 * radius
        apart = np.hypot(across - seat * np.cos(angle), down - seat * np.sin(angle))
        parts.append(radius * present - apart)
    nearest = np.maximum(parts[0], parts[1])
    shown: Floats = np.where(present > 0.2, nearest, np.float32(-10.0)).astype(np.float32)
    return np.broadcast_to(shown, endocardium.shape)
