"""evidence.json: what the report computes from and results.json does not hold.

External sites' score histograms as they were sent, the validation patients' pooled ones, and the
frozen thresholds of every model that was scored. Written at the end of a run, before its results.
A histogram holds each patient's score, rounded to 1/1000, with its class and nothing else; that of
validation patients is of all training sites together. Who publishes the file publishes those.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.errors import RunError
from common.files import write_json
from common.heads import SCORED
from common.machine import machine
from common.messages import ValidateAnswer
from common.statistics.scores import BINS
from server.private.calibrate import NoisilyCalibrated
from server.stages.calibrate import Calibrated

FILE = "evidence.json"
FORMAT = 1
CLASSES = ("negative", "positive")


@dataclass(frozen=True, eq=False)
class Evidence:
    """What a finished run's report computes from.

    Attributes
    ----------
    thresholds : of each (model, variant) of `SCORED`
    external : histograms (M, 2, 1001) by external site, in the order of `SCORED`
    validation : histograms (M, 2, 1001) of validation patients; None where they have noise
    noisy : with noise (3, 2, b), in the order of `MODELS`; None where there is none
    bin_sd : standard deviation of a bin of `noisy`
    machine : what the coordinator's process ran on
    """

    thresholds: dict[tuple[str, str], float]
    external: dict[str, NDArray[np.int64]]
    validation: NDArray[np.int64] | None
    noisy: NDArray[np.float64] | None = None
    bin_sd: float = 0.0
    machine: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def load(cls, folder: Path) -> Evidence | None:
        """Read the evidence of a run; None where the run was made before there was any.

        Raises
        ------
        RunError
            The file is not one of this release's.
        """
        path = folder / FILE
        if not path.exists():
            return None
        try:
            held = json.loads(path.read_text(encoding="utf-8"))
            if held["format"] != FORMAT or held["bins"] != BINS:
                raise ValueError(f"format {held['format']}, {held['bins']} bins")
            scored = [(one["model"], one["variant"]) for one in held["scored"]]
            if scored != list(SCORED):
                raise ValueError("other models")
            seen = held["validation"]
            noisy = held.get("noisy_validation")
            return cls(
                {key: one["threshold"] for key, one in zip(scored, held["scored"], strict=True)},
                {site: _dense(own) for site, own in held["external"].items()},
                None if seen is None else _dense(seen),
                None if noisy is None else np.asarray(noisy["counts"], np.float64),
                0.0 if noisy is None else float(noisy["bin_sd"]),
                dict(held["machine"]),
            )
        except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
            raise RunError(
                f"{path} is not the evidence of a run of this release ({error}).",
                "Take the file from the run's folder again, or make the report with the release "
                "that made the run.",
            ) from error


def write_evidence(
    folder: Path,
    calibrated: Calibrated | NoisilyCalibrated,
    answers: Mapping[str, ValidateAnswer],
) -> None:
    """Write evidence.json into a run's folder, whole or not at all."""
    noisy = isinstance(calibrated, NoisilyCalibrated)
    content: dict[str, Any] = {
        "format": FORMAT,
        "bins": BINS,
        "scored": [
            {"model": model, "variant": variant, "threshold": float(threshold)}
            for (model, variant), threshold in zip(SCORED, calibrated.thresholds, strict=True)
        ],
        "external": {site: _sparse(answer.histograms) for site, answer in answers.items()},
        "validation": None if noisy else _sparse(np.asarray(calibrated.histograms, np.int64)),
        "machine": machine(),
    }
    if isinstance(calibrated, NoisilyCalibrated):
        counts = calibrated.histograms.tolist()
        content["noisy_validation"] = {"counts": counts, "bin_sd": calibrated.bin_sd}
    write_json(folder / FILE, content)


def _sparse(histograms: NDArray[np.int64]) -> list[dict[str, list[list[int]]]]:
    """Of each model's histogram (2, 1001) keep the bins that hold somebody: [bin, patients]."""
    return [
        {
            label: [[int(bin_), int(counts[bin_])] for bin_ in np.flatnonzero(counts)]
            for label, counts in zip(CLASSES, own, strict=True)
        }
        for own in histograms
    ]


def _dense(sparse: list[dict[str, list[list[int]]]]) -> NDArray[np.int64]:
    histograms = np.zeros((len(sparse), 2, BINS), np.int64)
    if len(sparse) != len(SCORED):
        raise ValueError(f"{len(sparse)} models")
    for model, own in enumerate(sparse):
        for row, label in enumerate(CLASSES):
            for bin_, count in own[label]:
                if not 0 <= bin_ < BINS or count < 1:
                    raise ValueError(f"{count} patients in bin {bin_}")
                histograms[model, row, bin_] = count
    return histograms
