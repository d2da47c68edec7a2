"""Finished runs for the report, of scores drawn here, by the project's own results."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from coordinator_samples import enrolled, make_study

from common.files import write_json
from common.heads import MODELS, SCORED, Head, Heads
from common.messages import ValidateAnswer
from common.release import FoldModel, Release
from common.statistics.delong import covariance_from_sums, delong_covariance, placement_sums
from common.statistics.discriminant import Discriminant
from common.statistics.operating_point import confusion, threshold_for_sensitivity
from common.statistics.scores import round_scores, score_histogram
from common.study import Study
from harmonization import Reference
from server.candidates import Choice
from server.evidence import write_evidence
from server.private.calibrate import NoisilyCalibrated
from server.results import results
from server.roster import Roster
from server.run import RunFolder
from server.stages.calibrate import Calibrated
from server.stages.fuse import Fused
from server.stages.harmonize import Harmonized
from server.stages.validate import Validated

NAMES = ["original_firstorder_Mean", "original_glcm_Contrast", "deep_000"]
TRAIN = ("aldgate", "bergamo")
FEATURES = {"original_firstorder_Mean": [0.0, 255.0], "original_glcm_Contrast": [0.0, 400.0]}


@dataclass(frozen=True)
class Patients:
    """Scores (M, n), rounded to 1/1000, and labels (n,)."""

    scores: np.ndarray
    labels: np.ndarray

    @property
    def histograms(self) -> np.ndarray:
        return np.stack([score_histogram(row, self.labels) for row in self.scores])


@dataclass(frozen=True)
class Made:
    """A finished run, and the patients it was made of."""

    path: Path
    study: Study
    validation: Patients
    external: dict[str, Patients]

    @property
    def results(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.path / "results.json").read_text("utf-8"))
        return content


def patients(seed: int, positive: int, negative: int, apart: float = 1.3) -> Patients:
    rng = np.random.default_rng(seed)
    labels = np.repeat([1, 0], [positive, negative])
    shared = rng.normal(size=labels.size)
    rows = [
        1 / (1 + np.exp(-(apart * (labels - 0.5) + shared + 0.6 * rng.normal(size=labels.size))))
        for _ in SCORED
    ]
    return Patients(round_scores(np.stack(rows)), labels)


def finished_run(
    folder: Path,
    external: Sequence[str] = ("dorpat",),
    privacy: bool = False,
    separated: bool = False,
) -> Made:
    """Write a run's folder as `conduct` leaves it."""
    roster = [{"name": name, "role": "train"} for name in TRAIN]
    roster += [{"name": name, "role": "external"} for name in external]
    content: dict[str, Any] = {"name": "made-up", "sites": roster, "folds": 2}
    if privacy:
        content |= {
            "privacy": {"epsilon": 8.0, "covers": "everything", "features": FEATURES},
            "harmonization": {"mode": "mean_only"},
        }
    study = Study.model_validate(make_study().model_dump(mode="json") | content)
    run = RunFolder.begin(folder, study)
    seen = patients(1, 40, 45)
    outside = {
        site: patients(10 + place, 24 + place, 31, 30.0 if separated else 1.3)
        for place, site in enumerate(external)
    }
    answers = {name: enrolled(name, study, positive=20, negative=22) for name in TRAIN}
    for site, own in outside.items():
        counts = np.bincount(own.labels)
        answers[site] = enrolled(site, study, positive=int(counts[1]), negative=int(counts[0]))
    run.keep_cohort({name: vars(answer) for name, answer in answers.items()})
    calibrated = _calibrated(seen, privacy)
    given = {site: _answer(own, calibrated.thresholds) for site, own in outside.items()}
    validated = Validated(given, _pooled(outside))
    _events(run, external)
    folds = [_fold([0, 2]), _fold([1, 2])]
    fused = Fused(
        folds,
        {("radiomics", "harmonized"): Choice(5, 0.3)},
        {"harmonized": Discriminant(0.0, np.array([0.4, 0.6]))},
        9,
        TRAIN,
    )
    harmonized = Harmonized([], [], np.ones((2, 2)), {"age": 4})
    found = results(
        run, Roster(answers, TRAIN, tuple(external)), NAMES, harmonized, fused, calibrated,
        validated, ["original_shape2D_Sphericity"],
    )  # fmt: skip
    thresholds = dict(zip(MODELS, calibrated.thresholds, strict=False))
    Release(study, folds, thresholds, tuple(NAMES[:2])).save(folder / "release")
    write_evidence(folder, calibrated, given)
    write_json(folder / "results.json", found)
    run.finish()
    return Made(folder, study, seen, outside)


def add(made: Made, **keys: Any) -> None:
    """Put more keys into the results of a run."""
    write_json(made.path / "results.json", made.results | keys)


def _calibrated(seen: Patients, privacy: bool) -> Calibrated | NoisilyCalibrated:
    thresholds = [threshold_for_sensitivity(own, 0.9) for own in seen.histograms]
    if privacy:
        rng = np.random.default_rng(4)
        counts = rng.normal(8.0, 2.0, size=(len(MODELS), 2, 20))
        return NoisilyCalibrated(thresholds, counts, 2.0)
    aucs, covariance = delong_covariance(seen.scores, seen.labels)
    n = float(seen.labels.size)
    within = np.stack([n * aucs, n**2 * np.diag(covariance), np.full(len(SCORED), n)], axis=1)
    return Calibrated(thresholds, seen.histograms, within)


def _answer(own: Patients, thresholds: Sequence[float]) -> ValidateAnswer:
    aucs, covariance = delong_covariance(own.scores, own.labels)
    counts = [
        list(vars(confusion(row, own.labels, threshold)).values())
        for row, threshold in zip(own.scores, thresholds, strict=True)
    ]
    return ValidateAnswer(
        images=2 * own.labels.size,
        batches=np.array([1, 0]),
        histograms=own.histograms,
        auc=aucs,
        covariance=covariance,
        confusion=np.array(counts),
        fold_auc=np.stack([aucs - 0.01, aucs - 0.02]),
    )


def _pooled(outside: dict[str, Patients]) -> tuple[np.ndarray, np.ndarray] | None:
    if len(outside) < 2:
        return None
    pooled = np.sum([own.histograms for own in outside.values()], axis=0)
    first, *rest = [placement_sums(own.scores, own.labels, pooled) for own in outside.values()]
    for one in rest:
        first = first + one
    return covariance_from_sums(first)


def _events(run: RunFolder, external: Sequence[str]) -> None:
    once = {"received_bytes": 1000, "sent_bytes": 300, "seconds": 0.5}
    for stage, sites in (
        ("enrol", [*TRAIN, *external]),
        ("harmonize", TRAIN),
        ("train", TRAIN),
        ("train", TRAIN),
        ("fuse", TRAIN),
        ("calibrate", TRAIN),
        ("validate", external),
    ):
        run.event(event="stage-began", stage=stage)
        failures = {"bergamo": "was late"} if stage == "fuse" else {}
        there = {site: once for site in sites if site not in failures}
        run.event(event="asked", stage=stage, seconds=0.7, sites=there, failures=failures)
        run.event(event="stage", stage=stage, seconds=1.25)
    for site in external:
        run.event(event="looked", stage="validate", site=site)


def _fold(features: list[int]) -> FoldModel:
    heads: Heads = {
        key: Head(np.array(features), np.zeros(2), np.ones(2), np.array([1.0, 2.0, 3.0]))
        for key in SCORED
    }
    ones = np.ones(2)
    reference = Reference(ones, np.zeros((0, 2)), ones, np.ones(2, bool), 10)
    return FoldModel(reference, np.zeros(0), np.zeros(1, np.float32), heads)
