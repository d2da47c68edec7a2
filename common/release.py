"""What a study makes: for each fold a reference, a network and heads; and frozen thresholds.

On disk a release is a folder: ``fold-K.safetensors`` (all numbers of a fold), ``study.json`` (the
protocol), ``release.json`` (thresholds, feature names, versions) and a model card to read. It holds
no patient's value: alpha, beta and sigma are pooled, and no site's gamma or delta is in it. Where
the study allows it, ``distributions.safetensors`` has how the features that the heads use are
distributed over all training slices; a release without it scores as well.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from common.errors import RunError
from common.files import write_arrays, write_json
from common.heads import Heads, below, heads_from_arrays, heads_to_arrays, under
from common.messages import Arrays
from common.statistics.distance import Distribution
from common.study import Study
from common.trials import OWN, settings_of
from harmonization import Reference


@dataclass(frozen=True, eq=False)
class FoldModel:
    """One fold's building: reference, covariate means, network and (once fitted) heads.

    `trial` is the one of the study's search by whose settings the network is built; 0 without.
    """

    reference: Reference
    means: NDArray[np.float64]
    weights: NDArray[np.float32]
    heads: Heads = field(default_factory=dict)
    trial: int = OWN

    def arrays(self) -> Arrays:
        """Return everything as arrays with dotted keys."""
        own: Arrays = {"means": self.means, "weights": self.weights}
        if self.trial != OWN:
            own["trial"] = np.array(self.trial, np.int64)
        return (
            own
            | under(self.reference.arrays(), "reference")
            | under(heads_to_arrays(self.heads), "heads")
        )

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> FoldModel:
        """Read back what `arrays` returned."""
        heads = below(arrays, "heads")
        return cls(
            reference=Reference.from_arrays(below(arrays, "reference")),
            means=np.asarray(arrays["means"], np.float64),
            weights=np.asarray(arrays["weights"], np.float32),
            heads=heads_from_arrays(heads) if heads else {},
            trial=int(np.asarray(arrays.get("trial", OWN))),
        )


def folds_to_arrays(folds: list[FoldModel]) -> Arrays:
    """Flatten the folds: keys ``fold.name``."""
    arrays: Arrays = {}
    for number, fold in enumerate(folds):
        arrays |= under(fold.arrays(), str(number))
    return arrays


def folds_from_arrays(arrays: Arrays, count: int) -> list[FoldModel]:
    """Undo `folds_to_arrays`."""
    return [FoldModel.from_arrays(below(arrays, str(number))) for number in range(count)]


DISTRIBUTIONS = "distributions.safetensors"


@dataclass(frozen=True, eq=False)
class Release:
    """A finished model: the folds' ensemble and the frozen threshold of each model.

    `distributions` says for each fold how the features that its heads use are distributed; empty
    where that is not known.
    """

    study: Study
    folds: list[FoldModel]
    thresholds: dict[str, float]
    feature_names: tuple[str, ...]
    versions: dict[str, str] = field(default_factory=dict)
    distributions: tuple[Distribution, ...] = ()

    def save(self, folder: Path) -> None:
        """Write the release into `folder`, which is made."""
        for number, fold in enumerate(self.folds):
            write_arrays(folder / f"fold-{number}.safetensors", fold.arrays())
        if self.distributions:
            kept = enumerate(self.distributions)
            write_arrays(
                folder / DISTRIBUTIONS,
                {f"{n}.{key}": value for n, own in kept for key, value in own.arrays().items()},
            )
        write_json(folder / "study.json", json.loads(self.study.canonical()))
        summary = {
            "fingerprint": self.study.fingerprint,
            "folds": len(self.folds),
            "thresholds": self.thresholds,
            "versions": self.versions,
            "feature_names": list(self.feature_names),
        }
        if self.study.search.on:
            summary["network"] = self.networks()
        write_json(folder / "release.json", summary)

    @classmethod
    def load(cls, folder: Path) -> Release:
        """Read a release.

        Raises
        ------
        RunError
            The folder is not a release, is incomplete, or its study is not the one it names.
        """
        try:
            study = Study.model_validate_json((folder / "study.json").read_text("utf-8"))
            summary: dict[str, Any] = json.loads((folder / "release.json").read_text("utf-8"))
            folds = [
                FoldModel.from_arrays(load_file(folder / f"fold-{number}.safetensors"))
                for number in range(summary["folds"])
            ]
            release = cls(
                study,
                folds,
                dict(summary["thresholds"]),
                tuple(summary["feature_names"]),
                dict(summary["versions"]),
                _distributions(folder / DISTRIBUTIONS, summary["folds"]),
            )
            fingerprint = summary["fingerprint"]
            built = release.networks() if study.search.on else None
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise RunError(
                f"{folder} is not a complete release.",
                "Give the folder 'release' of a finished run.",
            ) from error
        if study.fingerprint != fingerprint:
            raise RunError(
                f"The study in {folder} is not the one that the release was made by.",
                "Take the release from its run again.",
            )
        if built != summary.get("network"):
            raise RunError(
                f"The networks in {folder} are not those that its release.json names.",
                "Take the release from its run again.",
            )
        return release

    def networks(self) -> list[dict[str, float]]:
        """Give the settings by which each fold's network was built, as a search found them.

        Raises
        ------
        RunError
            A fold names a trial that the study does not have.
        """
        return [settings_of(self.study, fold.trial).numbers() for fold in self.folds]


def _distributions(path: Path, folds: int) -> tuple[Distribution, ...]:
    if not path.exists():
        return ()
    arrays = dict(load_file(path))
    return tuple(Distribution.from_arrays(below(arrays, str(fold))) for fold in range(folds))
