"""Every question of a small study, with the answer that a real site gives to it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from site_samples import hold, make_rows, make_study, with_origin

from client.cohort.rows import SiteRows
from client.context import SiteContext
from client.egress.patients import Patients
from client.stages import calibrate, compare, enrol, fuse, harmonize, search, train, validate
from common.classifiers.registry import classifiers_of
from common.cnn import initial_weights
from common.heads import VARIANTS, Head, Heads, heads_to_arrays, stack, under
from common.messages import (
    Arrays,
    CalibrateQuestion,
    CompareQuestion,
    EnrolQuestion,
    FuseQuestion,
    HarmonizeQuestion,
    Question,
    SearchQuestion,
    TrainQuestion,
    ValidateAnswer,
    ValidateQuestion,
)
from common.question_kinds import Answer
from common.release import FoldModel, folds_to_arrays
from common.study import Study
from harmonization import Reference
from server.candidates import Candidate, Choice, pack

FEATURES = 12
LEVELS = ("Siemens", "GE", "Philips")
SEARCH = {"budget": 7, "most_rounds": 2, "eta": 2, "widths": (0.02,), "dropouts": (0.2,)}
SITES = {"a": "train", "b": "train", "c": "train", "x": "external"}

Exchange = tuple[Question, Answer]


def a_study(**content: Any) -> Study:
    """Two folds, two covariates, in the clear; attention too, unless patients are hidden."""
    covariates = [
        {"name": "age", "kind": "numeric"},
        {"name": "vendor", "kind": "categorical", "levels": LEVELS},
    ]
    defaults: dict[str, Any] = {
        "folds": 2,
        "secure_sum": {"enabled": False},
        "harmonization": {"covariates": covariates, "missing": "mean"},
        "fusion": {"sizes": (2, 4), "inverse_penalties": (0.3, 1.0)},
        "explain": {"attention": "privacy" not in content},
        "comparison": {"classifiers": ("logistic", "svm", "perceptron")},
    }
    if "privacy" not in content:
        # Which allows neither.
        defaults |= {"reduction": {"minimum_icc": 0.5}, "search": SEARCH}
    return make_study(SITES, **(defaults | content))


def some_rows(name: str, study: Study, patients: int = 12) -> SiteRows:
    """Rows of a site; a third of the patients have no vendor."""
    rows = make_rows(name, study, seed=len(name) + ord(name[0]), patients=patients, slices=2)
    vendors = [("", "GE", "Philips", "Siemens")[number % 4] for number in rows.patient]
    own = {name: values for name, values in rows.covariates.items() if name != "vendor"}
    second = rows.features + 0.1 if study.reduction.measures_icc else None
    return replace(
        rows,
        second=second,
        covariates=own | ({"vendor": vendors} if "vendor" in rows.covariates else {}),
    )


def exchanges(study: Study, folder: Path) -> Iterator[tuple[Exchange, Patients]]:
    """Ask everything that a run asks, in its order."""
    inside = hold(some_rows("a", study), study, folder)
    outside = hold(with_origin(some_rows("x", study), folder), study, folder)
    patients = Patients.of(inside.rows, study.folds)
    for exchange in _inside(study, inside):
        yield exchange, patients
    for exchange in _outside(study, inside, outside):
        yield exchange, Patients.of(outside.rows, study.folds)


def _inside(study: Study, site: SiteContext) -> Iterator[Exchange]:
    fingerprint = study.fingerprint
    question: Any = EnrolQuestion(fingerprint)
    yield question, enrol.answer(question, site)
    if study.harmonization.missing == "mean":
        question = HarmonizeQuestion(fingerprint, "covariates")
        yield question, harmonize.answer(question, site)
    means = {str(fold): model.means for fold, model in enumerate(models(study))}
    question = HarmonizeQuestion(fingerprint, "features", means)
    yield question, harmonize.answer(question, site)
    if study.reduction.measures_icc:
        question = HarmonizeQuestion(fingerprint, "reproducibility")
        yield question, harmonize.answer(question, site)
    for step in ("train", "measure") if study.search.on else ():
        question = search_question(study, step)
        yield question, search.answer(question, site)
    question = train_question(study, 60)
    yield question, train.answer(question, site)
    question = FuseQuestion(fingerprint, "moments", model=_model(study))
    yield question, fuse.answer(question, site)
    question = FuseQuestion(fingerprint, "heads", round=1, problems=problems(study))
    yield question, fuse.answer(question, site)
    heads: Arrays = {}
    for fold, one in enumerate(models(study)):
        heads |= under(heads_to_arrays(one.heads), str(fold))
    question = FuseQuestion(fingerprint, "stack", model=heads | _weights(study))
    yield question, fuse.answer(question, site)
    question = CalibrateQuestion(fingerprint, heads)
    yield question, calibrate.answer(question, site)
    if study.comparison.on:
        question = fit_question(study)
        yield question, compare.answer(question, site)
        question = replace(question, step="scores", round=0, fits=fitted(study))
        yield question, compare.answer(question, site)


def fit_question(study: Study) -> CompareQuestion:
    """The first question for fitting the classifiers of a study."""
    fits: Arrays = {}
    for name, one in classifiers_of(study).items():
        for fold in range(study.folds):
            begun = one.begin(3, fold, np.array([0.8, 1.3]))
            fits |= under(begun.asked(), f"{fold}.{name}")
    return CompareQuestion(study.fingerprint, "fit", 1, selected(study), fits)


def selected(study: Study) -> Arrays:
    """Two radiomic features and a deep one, in every fold."""
    head = _heads()[("fused", "harmonized")]
    own = {"features": head.features, "center": head.center, "scale": head.scale}
    found = _weights(study)
    for fold in range(study.folds):
        found |= under(own, str(fold))
    return found


def fitted(study: Study) -> Arrays:
    """The classifiers as they begin, as if they were finished."""
    return {
        f"{fold}.{name}.{key}": array
        for name, one in classifiers_of(study).items()
        for fold in range(study.folds)
        for key, array in one.begin(3, fold, np.array([0.8, 1.3])).model().items()
    }


def _outside(study: Study, inside: SiteContext, site: SiteContext) -> Iterator[Exchange]:
    release = folds_to_arrays(models(study)) | {"thresholds": np.full(5, 0.5)}
    question = ValidateQuestion(study.fingerprint, "scores", release=release)
    scores = validate.answer(question, site)
    yield question, scores
    assert isinstance(scores, ValidateAnswer)
    pooled = ValidateQuestion(
        study.fingerprint, "placements", histograms={"pooled": 2 * scores.histograms}
    )
    yield pooled, validate.answer(pooled, site)
    if study.explain.attention:
        attention = ValidateQuestion(study.fingerprint, "attention")
        yield attention, validate.answer(attention, site)
    if study.comparison.on:
        release = selected(study) | fitted(study)
        count = len(study.comparison.classifiers)
        release |= {"thresholds": np.full(count, 0.5)}
        question = ValidateQuestion(study.fingerprint, "classifiers", release=release)
        yield question, validate.answer(question, site)


def train_question(study: Study, slices: int) -> TrainQuestion:
    weights = initial_weights(study.cnn.width, study.cnn.dropout, 128, 1)
    trial = int(study.search.on)
    return TrainQuestion(study.fingerprint, 0, 1, slices, np.array([0.7, 1.9]), weights, trial)


def search_question(study: Study, step: str) -> SearchQuestion:
    weights = initial_weights(study.cnn.width, study.cnn.dropout, 128, 1)
    return SearchQuestion(study.fingerprint, step, 0, 0, 1, 1, 60, np.array([0.7, 1.9]), weights)


def models(study: Study) -> list[FoldModel]:
    """A model that is the same in every fold: nothing to correct, heads of two features."""
    columns = 0 if not study.harmonization.covariates else 3
    reference = Reference(
        alpha=np.zeros(FEATURES),
        beta=np.zeros((columns, FEATURES)),
        sigma=np.ones(FEATURES),
        keep=np.ones(FEATURES, np.bool_),
        count=100,
    )
    weights = initial_weights(study.cnn.width, study.cnn.dropout, 128, 1)
    means = np.zeros(columns if study.harmonization.missing == "mean" else 0)
    return [FoldModel(reference, means, weights, _heads()) for _ in range(study.folds)]


def _heads() -> Heads:
    radiomics = Head(np.array([0, 1]), np.zeros(2), np.ones(2), np.array([0.1, 0.5, 0.4]))
    deep = Head(np.array([FEATURES + 3]), np.zeros(1), np.ones(1), np.array([0.0, 0.3]))
    fused = stack(radiomics, deep, 0.0, np.array([0.7, 0.3]))
    heads: Heads = {("deep", "harmonized"): deep}
    for variant in VARIANTS:
        heads |= {("radiomics", variant): radiomics, ("fused", variant): fused}
    return heads


def _weights(study: Study) -> Arrays:
    return {"class_weights": np.tile([0.8, 1.3], (study.folds, 1))}


def _model(study: Study) -> Arrays:
    own = _weights(study)
    return folds_to_arrays(models(study)) | own | {"network_weights": own["class_weights"]}


def problems(study: Study) -> Arrays:
    """Heads as a Newton round asks for them: of several sizes, one of none, in every fold."""
    sizes = {
        ("radiomics", "harmonized"): [2, 4],
        ("deep", "harmonized"): [1],
        ("radiomics", "raw"): [0, 3],
    }
    found = [
        Candidate(fold, variant, model, Choice(size, 1.0), np.arange(size, dtype=np.int64))
        for fold in range(study.folds)
        for (model, variant), own in sizes.items()
        for size in own
    ]
    packed = pack(found, [np.zeros(one.features.size + 1) for one in found])
    width = FEATURES + 256
    for group in {one.group for one in found}:
        packed |= {f"{group}.mean": np.zeros(width), f"{group}.sd": np.ones(width)}
    return packed | _weights(study)
