"""A hospital's own batch effects, estimated once from earlier patients and kept in a file.

With them a single patient can be harmonised: from one patient alone nothing can be estimated, since
what sets the patient apart would be taken for the scanner. The file holds gamma and delta of the
hospital, which never leave it; it is written for its owner's eyes only.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from common.errors import RunError, WrongUse
from common.files import write_arrays
from common.heads import below, under
from common.messages import Arrays
from common.release import Release
from harmonization import BatchEffect, HarmonizationError

Effects = dict[str, BatchEffect]


@dataclass(frozen=True)
class SiteEffects:
    """For each fold of a release, the effect of each batch by its name."""

    folds: tuple[Effects, ...]

    @property
    def rows(self) -> int:
        """Slices that the batches were estimated from."""
        return sum(effect.rows for effect in self.folds[0].values() if effect.applied)

    def of(self, fold: int, batches: set[str], features: int) -> Effects:
        """Give a fold's effects of these batches; one that is not known is left as it is."""
        unknown = {name: BatchEffect.unchanged(features, 0, "identity") for name in batches}
        return unknown | {n: e for n, e in self.folds[fold].items() if n in batches}

    def require_some(self, release: Release) -> None:
        """Refuse effects none of which was estimated.

        Raises
        ------
        RunError
            No batch has enough slices, so that there is nothing to keep.
        """
        if not any(effect.applied for effect in self.folds[0].values()):
            least = release.study.harmonization.minimum_rows
            raise RunError(
                "No scanner or site has enough slices for its effect to be estimated.",
                f"Give a cohort with at least {least} slices of each, better of many patients.",
            )

    def save(self, release: Release, path: Path) -> None:
        """Write the effects; they fit this release only.

        Raises
        ------
        WrongUse
            The file exists.
        """
        if path.exists():
            raise WrongUse(
                f"{path} exists already.", "Leave --like out to use it, or name another file."
            )
        arrays: Arrays = {"release": _digest(release)}
        for number, effects in enumerate(self.folds):
            for name, effect in effects.items():
                if effect.applied:
                    arrays |= under(effect.arrays(), f"{number}.{name.encode().hex()}")
        write_arrays(path, arrays)
        path.chmod(0o600)

    @classmethod
    def load(cls, release: Release, path: Path) -> SiteEffects:
        """Read effects that `save` wrote.

        Raises
        ------
        RunError
            The file cannot be read, or is of another release.
        """
        try:
            arrays = dict(load_file(path))
            fits = np.array_equal(arrays.pop("release"), _digest(release))
            names = sorted({key.split(".")[1] for key in arrays})
            folds = tuple(
                {
                    bytes.fromhex(name).decode(): BatchEffect.from_arrays(
                        below(arrays, f"{number}.{name}")
                    )
                    for name in names
                }
                for number in range(len(release.folds))
            )
        except (
            OSError,
            KeyError,
            IndexError,
            ValueError,
            SafetensorError,
            HarmonizationError,
        ) as error:
            raise RunError(
                f"{path} holds no site effects that can be read.",
                "Make it again with --like COHORT, or leave --site-effects out.",
            ) from error
        if not fits:
            raise RunError(
                f"The site effects in {path} were estimated for another release.",
                "Make them again for this one with --like COHORT.",
            )
        return cls(folds)


def _digest(release: Release) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Hash what effects depend on: the study, and each fold's reference and covariate means."""
    digest = hashlib.sha256(release.study.fingerprint.encode())
    for fold in release.folds:
        for name, array in sorted((fold.reference.arrays() | {"means": fold.means}).items()):
            digest.update(name.encode() + np.ascontiguousarray(array).tobytes())
    return np.frombuffer(digest.digest(), np.uint8)
