"""PyRadiomics' filtered images, worked out in the box around the myocardium only.

Each pixel has the bits that the filter of the whole field gives it, because grey levels are counted
in bins and the last bit can decide a bin. What a filter takes from outside the box is brought
along: the field's largest value, the neighbours of an edge, the reach of a wavelet.
"""

# mypy: allow-untyped-calls
from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import SimpleITK as sitk

from client.imaging.boxed.box import Box, Floats


def filtered(
    field: Floats, box: Box, spacing_mm: float, wavelet: str
) -> Iterator[tuple[str, Floats]]:
    """Yield PyRadiomics' prefix and the pixels of `box` for each of its ten images.

    `field` (y, x) is the whole image; every result has the box's height and width.
    """
    inside = field[box.inside]
    # An array of one, so that logarithms go through the same code as those of an image.
    top = np.array([np.abs(field).max()])
    yield "original", inside
    yield "square", (1 / np.sqrt(top) * inside) ** 2
    yield "squareroot", np.sign(inside) * np.sqrt(np.abs(inside) * top)
    yield "logarithm", np.sign(inside) * np.log(np.abs(inside) + 1) * (top / np.log(top + 1))
    yield "exponential", np.exp(np.log(top) / top * inside)
    yield "gradient", _gradient(field, box, spacing_mm)
    yield from _wavelets(field, box, wavelet)


def _gradient(field: Floats, box: Box, spacing_mm: float) -> Floats:
    """Magnitude of the gradient, by ITK; a pixel's central difference reaches one pixel far."""
    outer = box.wider(1, (field.shape[0], field.shape[1]))
    image = sitk.GetImageFromArray(field[outer.inside][None])
    image.SetSpacing([spacing_mm, spacing_mm, 1.0])
    magnitude: Floats = sitk.GetArrayFromImage(sitk.GradientMagnitude(image))[0]
    return magnitude[box.within(outer)]


def _wavelets(field: Floats, box: Box, name: str) -> Iterator[tuple[str, Floats]]:
    """One level of the stationary transform; the first letter is the x axis, as in PyRadiomics."""
    import pywt

    wavelet = pywt.Wavelet(name)
    height, width = field.shape
    outer = box.even(int(wavelet.dec_len), (height, width))
    if outer is None:
        # Where the transform wraps around an edge it also adds in another order. PyRadiomics makes
        # an odd side even by its own first line.
        window = np.pad(field, ((0, height % 2), (0, width % 2)), "wrap")
        inner = box.inside
    else:
        window, inner = field[outer.inside], box.within(outer)
    bands = pywt.swtn(window, wavelet, level=1, axes=(1, 0))[0]
    for band, pixels in bands.items():
        yield f"wavelet-{band.replace('a', 'L').replace('d', 'H')}", pixels[inner]
