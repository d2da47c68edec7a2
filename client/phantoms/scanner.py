"""Scanners: what a vendor's acquisition and reconstruction do to the same heart.

The steps follow the signal path. A receive coil shades the image; k-space is sampled up to the
acquired resolution and tapered, which is the point spread; complex Gaussian noise goes through the
same window, so that an interpolated image has correlated noise; the magnitude of the sum is Rician
(Gudbjartsson & Patz, Magn Reson Med 1995;34:910); the vendor's display curve and gain make integers
of it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from client.phantoms.anatomy import Floats
from client.phantoms.tissue import smooth_field

GAIN_SPREAD, GAMMA_SPREAD, NOISE_SPREAD, RESOLUTION_SPREAD = 0.12, 0.14, 0.25, 0.04
"""Log-spreads of gain, display curve, noise and resolution over one scanner's patients."""
MOTTLE_LENGTH = 8.0
"""Correlation length of a scanner's unevenness, mm: that of fibrosis."""


@dataclass(frozen=True)
class Vendor:
    """One scanner and its protocol.

    `spacing` is the pixel size of the reconstruction and `resolution` that of the acquisition (mm,
    never the smaller); `pitch` the distance of slices (mm); `matrix` the pixels along each side.
    `noise` is the standard deviation of each complex channel relative to blood, `shading` the
    relative depth of the coil's shading, `gamma` the exponent of the display curve, and `gain` the
    stored value of blood. `mottle` is the relative spread of a smooth unevenness over the heart, as
    off-resonance and inflow leave it, more at higher field strengths. `unsteady` is how much the
    protocol differs between the site's patients: about 1 on a single scanner, more where several
    share the work.
    """

    vendor: str
    scanner: str
    field_strength: float
    spacing: float
    resolution: float
    pitch: float
    matrix: int
    noise: float
    shading: float
    gamma: float
    gain: float
    unsteady: float = 1.0
    mottle: float = 0.0

    def __post_init__(self) -> None:
        if self.resolution < self.spacing:
            raise ValueError(
                f"{self.scanner}: the resolution ({self.resolution} mm) is finer than the spacing "
                f"({self.spacing} mm)"
            )

    def grid(self) -> tuple[Floats, Floats]:
        """Pixel positions in mm about the image's centre: x (1, 1, matrix) and y (1, matrix, 1)."""
        line = (np.arange(self.matrix, dtype=np.float32) - (self.matrix - 1) / 2) * self.spacing
        line = line.astype(np.float32)
        return line[None, None, :], line[None, :, None]


def acquire(rng: np.random.Generator, vendor: Vendor, signal: Floats) -> NDArray[np.int16]:
    """Image a signal (slices, rows, columns; blood about 1) as this scanner would.

    Gain and shading vary a little from patient to patient; noise, resolution and display curve vary
    together, as much as the site's protocol is unsteady.
    """
    gain = vendor.gain * float(rng.lognormal(0.0, GAIN_SPREAD))
    # One draw for all three: a protocol of sharper images has more noise and a flatter curve.
    apart = vendor.unsteady * float(rng.normal())
    gamma = vendor.gamma * math.exp(-GAMMA_SPREAD * apart)
    noise = vendor.noise * math.exp(NOISE_SPREAD * apart)
    resolution = max(vendor.spacing, vendor.resolution * math.exp(-RESOLUTION_SPREAD * apart))
    vendor = replace(vendor, resolution=resolution)
    uneven = smooth_field(rng, signal.shape, vendor.spacing, MOTTLE_LENGTH / 2)
    mottled = signal * np.maximum(1.0 + vendor.mottle * uneven, 0.1)
    stored = gain * receive(rng, vendor, mottled * _shading(rng, vendor), noise) ** gamma
    whole: NDArray[np.int16] = np.clip(np.rint(stored), 0, 4095).astype(np.int16)
    return whole


def receive(rng: np.random.Generator, vendor: Vendor, signal: Floats, noise: float) -> Floats:
    """Magnitude of a signal (slices, rows, columns) blurred by k-space and with Rician noise.

    `noise` is the standard deviation of each complex channel before the window, blood being 1.
    """
    received = signal.astype(np.complex64)
    received.real += noise * rng.standard_normal(signal.shape, dtype=np.float32)
    received.imag += noise * rng.standard_normal(signal.shape, dtype=np.float32)
    spectrum = fft.fft2(received, axes=(1, 2)) * _window(vendor)
    magnitude: Floats = np.abs(fft.ifft2(spectrum, axes=(1, 2)))
    return magnitude


def _shading(rng: np.random.Generator, vendor: Vendor) -> Floats:
    """Sensitivity of the anterior coil, about 1 at the centre, falling away from the chest wall."""
    x, y = vendor.grid()
    reach = 130.0
    towards = float(rng.normal(-2.2, 0.25))
    depth = vendor.shading * float(rng.lognormal(0.0, 0.15))
    along = (x * np.cos(towards) + y * np.sin(towards)) / reach
    aside = (y * np.cos(towards) - x * np.sin(towards)) / reach
    sensitivity: Floats = np.exp(depth * along - 0.3 * depth * aside**2).astype(np.float32)
    return sensitivity


def _window(vendor: Vendor) -> Floats:
    """k-space window: 1 at the centre, a cosine taper over the outer third of what was acquired."""
    frequency = fft.fftfreq(vendor.matrix, vendor.spacing)
    share = np.abs(frequency) * 2.0 * vendor.resolution
    taper = np.cos(np.clip((share - 2 / 3) * 3.0, 0.0, 1.0) * (np.pi / 2)) ** 2
    window: Floats = (taper[:, None] * taper[None, :]).astype(np.float32)
    return window
