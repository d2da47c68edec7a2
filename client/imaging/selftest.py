"""Does this computer measure the same numbers as the others? One hash to compare.

Sites whose digests agree compute the same features to six digits on a built-in slice, through
resampling, intensities and every filter. Sites whose digests differ must not train together.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict

import numpy as np
import numpy.typing as npt

from client.imaging.measure import single_thread
from client.imaging.preprocess import Preprocessing, prepare_slice
from client.imaging.radiomics import RadiomicsRecipe, extract_slice

SPACING = (1.3, 1.3)
NEARLY_ZERO = 1e-9


def recipe_hash(preprocessing: Preprocessing, recipe: RadiomicsRecipe) -> str:
    """Hash the two recipes: 16 hexadecimal digits, equal exactly where all settings are."""
    content = {"preprocessing": asdict(preprocessing), "radiomics": asdict(recipe)}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def self_test_digest(preprocessing: Preprocessing, recipe: RadiomicsRecipe) -> str:
    """Measure the built-in slice and hash the 939 values: 16 hexadecimal digits.

    Values are rounded to six significant digits first, so that the last bits, which differ between
    processors, do not count.
    """
    values = self_test(preprocessing, recipe)
    text = ",".join(f"{v:.5e}" if abs(v) > NEARLY_ZERO else "0" for v in values)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def self_test(preprocessing: Preprocessing, recipe: RadiomicsRecipe) -> npt.NDArray[np.float64]:
    """Measure the built-in slice: (939,) float64."""
    image, mask = _phantom()
    with single_thread():
        return extract_slice(prepare_slice(image, mask, SPACING, preprocessing), recipe)


def _phantom() -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Return a bright cavity in a textured, slightly oval ring; whole numbers, no random ones."""
    y, x = np.mgrid[0:96, 0:96].astype(np.int64)
    radius2 = 11 * (y - 47) ** 2 + 10 * (x - 50) ** 2
    mask = (radius2 > 10 * 14**2) & (radius2 <= 10 * 22**2)
    texture = (7 * x * x + 13 * y * y + 5 * x * y) % 97
    image = 120 + texture + 2 * x + y
    image[radius2 <= 10 * 14**2] += 500
    image[radius2 > 10 * 30**2] += 150
    return image, mask
