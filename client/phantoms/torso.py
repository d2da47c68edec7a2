"""What lies around the heart: chest wall, lung, liver, stomach, fat, and the noise of anatomy.

Plausible scenery, not anatomy to measure: its task is that intensities, their range and the
neighbourhood of the heart are those of a short-axis cine slice. Signals are relative to blood = 1
and follow the order of balanced steady-state images: fat and fluid bright, blood bright, muscle and
liver dark, lung and air nearly black (Scheffler & Lehnhardt, Eur Radiol 2003;13:2409).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from client.phantoms.anatomy import Floats, Heart, Sampled
from client.phantoms.tissue import smooth_field

AIR, LUNG, MUSCLE, LIVER, FAT = 0.01, 0.07, 0.30, 0.36, 1.05


@dataclass(frozen=True)
class Torso:
    """One patient's chest (mm): centre and half-axes of the body, its fat, wall and diaphragm."""

    centre: tuple[float, float]
    axes: tuple[float, float]
    lean: float
    fat: float
    wall: float
    diaphragm: float
    slope: float
    stomach: tuple[float, float, float]
    stomach_signal: float
    fat_signal: float


def draw_torso(rng: np.random.Generator, heart: Heart, female: bool) -> Torso:
    """Draw a chest that fits around the heart."""
    size = (0.96 if female else 1.02) * float(rng.lognormal(0.0, 0.04))
    return Torso(
        centre=(34.0 + float(rng.normal(0, 5)), 40.0 + float(rng.normal(0, 5))),
        axes=(158.0 * size, 132.0 * size),
        lean=-0.45 + float(rng.normal(0.0, 0.12)),
        fat=float(np.clip(rng.lognormal(2.6, 0.4), 6.0, 32.0)),
        wall=float(rng.uniform(9.0, 14.0)),
        diaphragm=heart.centre[1] + 34.0 + float(rng.normal(0.0, 3.0)),
        slope=float(rng.normal(-0.22, 0.06)),
        stomach=(
            heart.centre[0] + 52.0 + float(rng.normal(0, 7)),
            heart.centre[1] + 58.0 + float(rng.normal(0, 6)),
            float(rng.uniform(20.0, 32.0)),
        ),
        stomach_signal=float(rng.uniform(0.35, 0.85)),
        fat_signal=FAT * float(rng.lognormal(0.0, 0.12)),
    )


def surroundings(
    rng: np.random.Generator,
    torso: Torso,
    sampled: Sampled,
    grid: tuple[Floats, Floats],
    spacing: float,
) -> Floats:
    """Signal of everything but the heart, as (slices, rows, columns); the heart is laid over it."""
    x, y = grid
    slices, rows, columns = sampled.left.shape
    one = (1, rows, columns)
    # One warp for the stack, so that organs continue from slice to slice, bent into organic shapes.
    bent_x = x + 5.0 * smooth_field(rng, one, spacing, 18.0)
    bent_y = y + 5.0 * smooth_field(rng, one, spacing, 18.0)
    drift = np.linspace(-1.0, 1.0, slices, dtype=np.float32)[:, None, None]
    mottle = smooth_field(rng, (slices, rows, columns), spacing, 4.0)
    specks = smooth_field(rng, (slices, rows, columns), spacing, 1.3)

    body = _body(torso, bent_x, bent_y)
    edge = 1.0 * spacing
    ribs = 0.75 + 0.35 * np.clip(np.sin(bent_x / 9.0 + bent_y / 14.0) + 0.5 * mottle, -1.0, 1.0)
    signal = np.broadcast_to(np.float32(AIR), mottle.shape).astype(np.float32)
    signal = over(signal, body, torso.fat_signal * (1.0 + 0.04 * mottle), edge)
    signal = over(signal, body - torso.fat, MUSCLE * ribs, edge)
    signal = over(signal, body - torso.fat - torso.wall, LUNG * (1.0 + 0.2 * mottle), edge)
    inside = body - torso.fat - torso.wall
    vessels = np.minimum((specks - 2.4) * 2.0, inside - 3.0)
    signal = over(signal, vessels, np.float32(0.35), edge)
    # Fat of the mediastinum ties the heart to the sternum, on the left of the image.
    tie = np.minimum(bent_y - torso.diaphragm + 58.0 + 0.35 * bent_x, -22.0 - bent_x)
    tie = np.minimum(tie + 2.0 * mottle, inside)
    signal = over(signal, tie, torso.fat_signal * (0.6 + 0.15 * mottle), edge)

    # Below the diaphragm: fat and bowel, the liver on the right of the patient, the stomach.
    below = bent_y - (torso.diaphragm + torso.slope * bent_x + 4.0 * drift)
    below = np.minimum(below, inside)
    signal = over(signal, below, torso.fat_signal * (0.6 + 0.13 * mottle), edge)
    veins = np.where(specks > 2.0, 1.5, 1.0).astype(np.float32)
    lobe = 0.85 * (34.0 - bent_x) - 0.5 * (bent_y - torso.diaphragm) + 6.0 * drift
    liver = np.minimum(below - 2.0, lobe)
    signal = over(signal, liver, LIVER * (1.0 + 0.07 * mottle) * veins, edge)
    middle_x, middle_y, radius = torso.stomach
    stomach = radius - np.hypot((bent_x - middle_x) * 0.8, bent_y - middle_y) + 3.0 * drift
    stomach = np.minimum(stomach, below - 1.0)
    signal = over(signal, stomach, MUSCLE * np.ones_like(mottle), edge)
    signal = over(signal, stomach - 4.0, torso.stomach_signal * (1.0 + 0.16 * mottle), edge)

    # Fat in the grooves of the heart, thickest where the mottle says so, and the dark line that
    # water and fat of opposite phase leave between them.
    clumps = smooth_field(rng, (slices, rows, columns), spacing, 7.0)
    groove = sampled.outline + 1.8 + 2.4 * clumps
    signal = over(signal, np.minimum(groove, inside), 0.8 * torso.fat_signal, edge)
    ink = 1.0 - 0.75 * np.exp(-(((sampled.outline + 0.6) / (0.7 + 0.3 * spacing)) ** 2))
    ink = ink * (1.0 - 0.6 * np.exp(-(((body - torso.fat) / 1.2) ** 2)))
    ink = ink * (1.0 - 0.6 * np.exp(-((below / 1.2) ** 2)))
    inked: Floats = (signal * ink).astype(np.float32)
    return inked


def over(
    under: Floats, distance: Floats, signal: Floats | np.floating | float, edge: float
) -> Floats:
    """Lay a tissue over another: full inside its edge, partial volume across `edge` mm."""
    share = np.clip(distance / edge + 0.5, 0.0, 1.0)
    laid: Floats = (under + share * (signal - under)).astype(np.float32)
    return laid


def _body(torso: Torso, x: Floats, y: Floats) -> Floats:
    """Approximate signed distance to the skin (mm, positive inside): a leaning superellipse."""
    cosine, sine = np.cos(torso.lean), np.sin(torso.lean)
    across = (x - torso.centre[0]) * cosine + (y - torso.centre[1]) * sine
    down = (y - torso.centre[1]) * cosine - (x - torso.centre[0]) * sine
    ratio = (np.abs(across / torso.axes[0]) ** 2.5 + np.abs(down / torso.axes[1]) ** 2.5) ** 0.4
    distance: Floats = ((1.0 - ratio) * min(torso.axes)).astype(np.float32)
    return distance
