"""Augmentation on the batch: geometry, the mask moving with the image, and intensity.

Geometry has the ranges of Fahmy et al. 2022: flips, rotation to 30 degrees either way, zoom and
shear to 20 %. The third channel is the product of the first two, so it is made after the move, not
moved. Intensity stands in for scanners that no training site has: a random gamma, gain and offset
(as in Zhang et al., IEEE Trans Med Imaging 2020;39:2531, where it carried networks to unseen
hospitals).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from client.network.device import to_device

ROTATION_DEGREES = 30.0
ZOOM = 0.2
SHEAR = 0.2
LOG_GAMMA = 0.4
GAIN = 0.2
OFFSET = 0.1


def augment(
    images: Tensor, masks: Tensor, generator: torch.Generator, *, intensity: bool
) -> Tensor:
    """Move each slice of a batch by its own random affine map, and shift its intensities.

    Parameters
    ----------
    images, masks
        (n, crop, crop) float32, on any device; masks hold 0 and 1.
    generator
        Source of all randomness, on the CPU: the maps are the same whatever the device.
    intensity
        Whether intensities are changed too.

    Returns
    -------
    Tensor
        (n, 3, crop, crop), on their device: image, mask, image times mask.
    """
    count = images.shape[0]
    maps = to_device(_random_maps(count, generator), images.device)
    pair = torch.stack((images, masks), dim=1)
    grid = functional.affine_grid(maps, list(pair.shape), align_corners=False)
    moved = functional.grid_sample(pair, grid, mode="bilinear", align_corners=False)
    picture = _other_scanner(moved[:, 0], generator) if intensity else moved[:, 0]
    return channels(picture, (moved[:, 1] > 0.5).to(images.dtype))


def channels(images: Tensor, masks: Tensor) -> Tensor:
    """Stack image, mask and image times mask: (n, 3, crop, crop)."""
    return torch.stack((images, masks, images * masks), dim=1)


def _other_scanner(images: Tensor, generator: torch.Generator) -> Tensor:
    """Give each slice its own gamma, gain and offset; intensities stay in [0, 1]."""

    def uniform(reach: float) -> Tensor:
        drawn = torch.rand(images.shape[0], 1, 1, generator=generator)
        return to_device(reach * (2.0 * drawn - 1.0), images.device)

    gamma = torch.exp(uniform(LOG_GAMMA))
    changed = images.clamp(0.0, 1.0) ** gamma * (1.0 + uniform(GAIN)) + uniform(OFFSET)
    return changed.clamp(0.0, 1.0)


def _random_maps(count: int, generator: torch.Generator) -> Tensor:
    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(count, generator=generator)

    angle = uniform(-ROTATION_DEGREES, ROTATION_DEGREES) * (math.pi / 180.0)
    zoom = uniform(1.0 - ZOOM, 1.0 + ZOOM)
    shear = uniform(-SHEAR, SHEAR)
    flips = 1.0 - 2.0 * torch.randint(0, 2, (count, 2), generator=generator).float()
    cos, sin = torch.cos(angle), torch.sin(angle)
    maps = torch.zeros(count, 2, 3)
    maps[:, 0, 0] = flips[:, 0] * cos / zoom
    maps[:, 0, 1] = flips[:, 0] * (shear * cos - sin) / zoom
    maps[:, 1, 0] = flips[:, 1] * sin / zoom
    maps[:, 1, 1] = flips[:, 1] * (shear * sin + cos) / zoom
    return maps
