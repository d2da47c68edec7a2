"""Score new patients with a release, as an external site is scored.

Batch effects are estimated from the very images that are scored together; so the scores of a
cohort are transductive, and a cohort below the release's minimum gets none taken out.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from client.cohort.patients import Case, Patient
from client.cohort.rows import Source, lay_out
from client.cohort.table import CohortTable, read_table
from client.fold_features import fold_features
from client.scoring import ensemble_scores, fold_scores
from common.errors import WrongUse
from common.heads import MODELS, SCORED
from common.release import Release


@dataclass(frozen=True)
class Prediction:
    """One patient's score by each model, and whether it reaches the frozen threshold."""

    patient_id: str
    scores: dict[str, float]
    positive: dict[str, bool]


@dataclass(frozen=True)
class Predictions:
    """All patients' predictions; how the batches were harmonised."""

    patients: list[Prediction]
    slices: int
    batches_estimated: int
    batches_below_minimum: int


def predict(
    release: Release,
    table: Path,
    myocardium: int,
    cache: Path,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Predictions:
    """Score every patient of a cohort table; a column label is not needed and not read.

    Raises
    ------
    CohortError
        The table or a case cannot be used; all faults are listed.
    """
    study = release.study
    patients = _patients(read_table(table, require_label=False))
    source = Source("here", cache, myocardium)
    rows = lay_out(source, patients, study, external=True, workers=workers, progress=progress)
    every = np.ones(rows.labels.size, dtype=np.bool_)
    features = [fold_features(rows, fold, every, study, external=True) for fold in release.folds]
    heads = [fold.heads for fold in release.folds]
    scores = ensemble_scores(fold_scores(rows, features, heads, study.fusion.patient_score))
    effects = features[0].effects.values()
    small = sum(effect.mode == "identity" for effect in effects)
    found = []
    for number, patient_id in enumerate(rows.patient_ids):
        own = {m: float(scores[SCORED.index((m, "harmonized")), number]) for m in MODELS}
        above = {model: own[model] >= release.thresholds[model] for model in MODELS}
        found.append(Prediction(patient_id, own, above))
    return Predictions(found, int(rows.labels.size), len(effects) - small, small)


def write_scores(predictions: Predictions, path: Path) -> None:
    """Write one row a patient: scores in 1/1000, and the frozen threshold's answer.

    Raises
    ------
    WrongUse
        The file exists.
    """
    if path.exists():
        raise WrongUse(f"{path} exists already.", "Give another --out, or move it away first.")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        columns = [name for model in MODELS for name in (model, f"{model}_positive")]
        writer.writerow(["patient_id", *columns])
        for one in predictions.patients:
            cells = [
                cell
                for model in MODELS
                for cell in (f"{one.scores[model]:.3f}", int(one.positive[model]))
            ]
            writer.writerow([one.patient_id, *cells])


def _patients(table: CohortTable) -> list[Patient]:
    """Gather a table's rows by patient, whatever their labels."""
    cases: dict[str, dict[tuple[str, Path, int | None], Case]] = {}
    covariates: dict[str, dict[str, str]] = {}
    for row in table.rows:
        key = (row.phase, row.image, row.frame)
        own = cases.setdefault(row.patient_id, {})
        own.setdefault(key, Case(row.patient_id, row.phase, row.image, row.mask, row.frame))
        known = covariates.setdefault(row.patient_id, {})
        for name, value in row.covariates.items():
            known[name] = known.get(name) or value
    return [
        Patient(patient_id, 0, tuple(own.values()), covariates[patient_id])
        for patient_id, own in sorted(cases.items())
    ]
