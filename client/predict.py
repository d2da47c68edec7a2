"""Score new patients with a release, as an external site is scored.

Batch effects are estimated from the very images that are scored together; so the scores of a
cohort are transductive, and a cohort below the release's minimum gets none taken out. Nor does one
patient alone, however many slices it has: its own features would be taken for the scanner's.
Effects that were estimated before from other patients of the hospital can take their place.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from client.cohort.patients import Case, Patient
from client.cohort.rows import SiteRows, Source, lay_out
from client.cohort.table import CohortTable, read_table
from client.fold_features import FoldFeatures, features_with, fold_features
from client.reader.site_effects import SiteEffects
from client.scoring import ensemble_scores, fold_scores
from common.errors import WrongUse
from common.heads import MODELS, SCORED
from common.release import Release

HERE = "here"
"""Name of the site at which patients are scored."""


@dataclass(frozen=True)
class Prediction:
    """One patient's score by each model, and whether it reaches the frozen threshold."""

    patient_id: str
    scores: dict[str, float]
    positive: dict[str, bool]


@dataclass(frozen=True, eq=False)
class Predictions:
    """All patients' predictions; how the batches were harmonised, and what was looked at.

    `batches_known` counts batches whose effects had been estimated before; `features` are those of
    each fold, `rows` the slices.
    """

    patients: list[Prediction]
    slices: int
    batches_estimated: int
    batches_below_minimum: int
    batches_known: int
    features: list[FoldFeatures]
    rows: SiteRows


def predict(
    release: Release,
    table: Path,
    myocardium: int,
    cache: Path,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    effects: SiteEffects | None = None,
) -> Predictions:
    """Score every patient of a cohort table; a column label is not needed and not read.

    Raises
    ------
    CohortError
        The table or a case cannot be used; all faults are listed.
    """
    patients = patients_of(read_table(table, require_label=False))
    return predict_patients(release, patients, myocardium, cache, workers, progress, effects)


def predict_patients(
    release: Release,
    patients: Sequence[Patient],
    myocardium: int,
    cache: Path,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    effects: SiteEffects | None = None,
) -> Predictions:
    """As `predict`, for patients already gathered, in the order of their ids."""
    rows = _rows(release, patients, myocardium, cache, workers, progress)
    return predict_rows(release, rows, effects)


def predict_rows(
    release: Release, rows: SiteRows, effects: SiteEffects | None = None
) -> Predictions:
    """As `predict`, for slices already measured."""
    study = release.study
    if effects is None and len(rows.patient_ids) < 2:
        effects = SiteEffects(tuple({} for _ in release.folds))
    features = _features(release, rows, effects)
    heads = [fold.heads for fold in release.folds]
    scores = ensemble_scores(fold_scores(rows, features, heads, study.fusion.patient_score))
    own_effects = features[0].effects.values()
    small = sum(not effect.applied for effect in own_effects)
    done = len(own_effects) - small
    found = []
    for number, patient_id in enumerate(rows.patient_ids):
        own = {m: float(scores[SCORED.index((m, "harmonized")), number]) for m in MODELS}
        above = {model: own[model] >= release.thresholds[model] for model in MODELS}
        found.append(Prediction(patient_id, own, above))
    return Predictions(
        found,
        int(rows.labels.size),
        done if effects is None else 0,
        small,
        0 if effects is None else done,
        features,
        rows,
    )


def estimate_site_effects(
    release: Release,
    table: Path,
    myocardium: int,
    cache: Path,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> SiteEffects:
    """Estimate a hospital's batch effects from a cohort of its patients; labels are not read.

    Raises
    ------
    CohortError
        The table or a case cannot be used; all faults are listed.
    """
    patients = patients_of(read_table(table, require_label=False))
    rows = _rows(release, patients, myocardium, cache, workers, progress)
    if len(patients) < 2:
        raise WrongUse(
            f"{table} has one patient, whose own features would be taken for the scanner's.",
            "Give a cohort of many earlier patients.",
        )
    return SiteEffects(tuple(one.effects for one in _features(release, rows, None)))


def _rows(
    release: Release,
    patients: Sequence[Patient],
    myocardium: int,
    cache: Path,
    workers: int | None,
    progress: Callable[[int, int], None] | None,
) -> SiteRows:
    """Measure patients as an external site's are."""
    source = Source(HERE, cache, myocardium)
    return lay_out(
        source, patients, release.study, external=True, workers=workers, progress=progress
    )


def _features(release: Release, rows: SiteRows, known: SiteEffects | None) -> list[FoldFeatures]:
    """Compute each fold's features, with effects that are known or are estimated from the rows."""
    study = release.study
    if known is None:
        every: npt.NDArray[np.bool_] = np.ones(rows.labels.size, dtype=np.bool_)
        return [fold_features(rows, fold, every, study, external=True) for fold in release.folds]
    width, batches = rows.features.shape[1], set(rows.batch)
    return [
        features_with(rows, fold, study, known.of(number, batches, width))
        for number, fold in enumerate(release.folds)
    ]


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


def patients_of(table: CohortTable) -> list[Patient]:
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
