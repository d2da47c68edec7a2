"""The comparison over sites under masks: pooled fits, thresholds, one look, and what is refused."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from federation_samples import FEATURES, Course, Sites, refuses
from site_samples import make_study

from client.approval_words import what_leaves, what_runs
from client.egress.guard import check
from client.egress.patients import Patients
from client.egress.refused import EgressRefused
from client.scoring import patient_scores
from client.stages import compare as site_stage
from client.stages import validate
from common.classifiers.protocol import FoldRows
from common.classifiers.registry import classifiers_of
from common.errors import RunError
from common.heads import below, under
from common.messages import Arrays, CompareAnswer, CompareQuestion, Hidden, ValidateQuestion
from common.release import folds_to_arrays
from common.statistics.delong import delong_covariance
from common.statistics.operating_point import threshold_for_sensitivity
from common.statistics.scores import round_scores, score_histogram
from server.comparison_results import comparison_results
from server.stages import compare
from server.stages.compare import Compared
from server.stages.fuse import Fused
from server.stages.harmonize import Harmonized

pytestmark = pytest.mark.usefixtures("impatient")

NAMES = ("a", "b", "c", "d")
ROLES = dict.fromkeys(NAMES, "train") | {"x": "external"}
EVERY = ("logistic", "svm", "perceptron", "forest", "boosting")
SETTINGS: dict[str, Any] = {
    "bins": 8,
    "perceptron": {"rounds": 7, "hidden": 3},
    "forest": {"trees": 9, "depth": 3},
    "boosting": {"trees": 4, "depth": 2},
}


def study_of(secure: bool = True, classifiers: tuple[str, ...] = EVERY) -> Any:
    return make_study(
        ROLES,
        folds=2,
        quorum={"min_sites": 3},
        training={"rounds": 1, "averaged_rounds": 1},
        fusion={"sizes": [2, 4], "inverse_penalties": [1.0], "patient_score": "mean"},
        secure_sum={"enabled": secure},
        comparison={"classifiers": classifiers} | SETTINGS,
    )


@dataclass
class Begun:
    """A run as far as its heads."""

    sites: Sites
    harmonized: Harmonized
    weights: list[np.ndarray]
    fused: Fused

    @classmethod
    def of(cls, study: Any, folder: Path) -> Begun:
        sites = Sites.make(study, folder / "sites")
        course = Course.over(sites, folder / "run")
        harmonized = course.harmonize()
        weights = course.train(harmonized)
        return cls(sites, harmonized, weights, course.fuse(harmonized, weights))

    def compare(self, course: Course) -> Compared:
        return compare.run(
            course.federation,
            self.sites.roster,
            self.fused.sites,
            self.sites.study,
            self.fused.folds,
            self.harmonized.class_weights,
        )

    def rows(self, fold: int, names: tuple[str, ...], selected: Arrays) -> FoldRows:
        """The training rows of several sites, as if they were one."""
        parts = [
            site_stage._fold_rows(selected, self.sites.workers[name].context, fold)
            for name in names
        ]
        return FoldRows(
            *(
                np.concatenate([getattr(one, key) for one in parts])
                for key in ("columns", "labels", "weights", "shares")
            ),
        )


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Begun:
    return Begun.of(study_of(), tmp_path_factory.mktemp("begun"))


@pytest.fixture(scope="module")
def done(begun: Begun, tmp_path_factory: pytest.TempPathFactory) -> tuple[Compared, Course, list]:
    said: list[tuple[str, str, object]] = []

    def listens(site: str, exchange: str, answer: object) -> object:
        said.append((site, exchange, answer))
        return answer

    course = Course.over(begun.sites, tmp_path_factory.mktemp("compared") / "run", listens)
    return begun.compare(course), course, said


def pooled_models(begun: Begun, names: tuple[str, ...], selected: Arrays) -> Arrays:
    """Fit every classifier on the pooled rows, in one place."""
    models: Arrays = {}
    for fold in range(begun.sites.study.folds):
        rows = begun.rows(fold, names, selected)
        for name, classifier in classifiers_of(begun.sites.study).items():
            weights = begun.harmonized.class_weights[fold]
            fit = classifier.begin(rows.columns.shape[1], fold, weights)
            while not fit.finished:
                fit = fit.take(classifier.sums(fit.asked(), rows))
            models |= under(fit.model(), f"{fold}.{name}")
    return models


def test_every_fit_is_that_of_the_pooled_rows(begun: Begun, done: tuple) -> None:
    compared = done[0]
    expected = pooled_models(begun, NAMES, compared.models)
    assert len(expected) == 2 * (3 * 2 + 3)
    for key, array in expected.items():
        np.testing.assert_allclose(compared.models[key], array, atol=1e-9, err_msg=key)
    for fold in range(2):
        head = begun.fused.folds[fold].heads[("fused", "harmonized")]
        np.testing.assert_array_equal(compared.models[f"{fold}.features"], head.features)
        # The trees do ask something.
        for name in ("forest", "boosting"):
            assert (compared.models[f"{fold}.{name}.feature"] >= 0).any()


def test_a_message_a_round_for_all_of_them_and_masks_on_all(done: tuple) -> None:
    compared, _, said = done
    exchanges = {exchange for _, exchange, _ in said}
    fits = {f"compare.fit.{number}" for number in range(1, compared.rounds + 1)}
    assert exchanges == fits | {"compare.scores.0"}
    # Boosting is the slowest here, unless a Newton fit is.
    assert 8 <= compared.rounds <= 12
    assert all(isinstance(answer, Hidden) for _, _, answer in said)
    assert {site for site, _, _ in said} == set(NAMES)


def test_thresholds_and_histograms_are_of_validation_patients(begun: Begun, done: tuple) -> None:
    compared, study = done[0], begun.sites.study
    histograms = np.zeros((len(EVERY), 2, 1001), np.int64)
    for name in NAMES:
        context = begun.sites.workers[name].context
        rows = context.rows
        for fold in range(study.folds):
            own = rows.validates(fold)
            columns = site_stage.remembered(context, fold).columns("harmonized")[own]
            x = site_stage.standardised(columns, compared.models, fold)
            for place, (kind, classifier) in enumerate(classifiers_of(study).items()):
                scores = classifier.scores(below(compared.models, f"{fold}.{kind}"), x)[None]
                found = patient_scores(scores, rows.patient[own], len(rows.patient_ids), "mean")[0]
                seen = np.isfinite(found)
                histograms[place] += score_histogram(
                    round_scores(found[seen]), rows.patient_labels[seen]
                )
    np.testing.assert_array_equal(compared.histograms, histograms)
    assert compared.histograms.sum(axis=2).tolist() == [[20, 20]] * len(EVERY)
    target = study.operating_point.sensitivity
    assert compared.thresholds == [threshold_for_sensitivity(one, target) for one in histograms]


def test_an_external_site_is_looked_at_once_more(begun: Begun, done: tuple) -> None:
    compared, course, _ = done
    context = begun.sites.workers["x"].context
    release = folds_to_arrays(begun.fused.folds) | {"thresholds": np.full(5, 0.5)}
    fingerprint = begun.sites.study.fingerprint
    # The step before: it leaves the features at the site.
    validate.answer(ValidateQuestion(fingerprint, "scores", release=release), context)
    looked = compare.look(course.federation, begun.sites.roster, begun.sites.study, compared)
    assert list(looked) == ["x"]
    events = course.federation.run.events()
    assert [event["site"] for event in events if event["event"] == "looked"] == ["x"]
    rows, study = context.rows, begun.sites.study
    answer = looked["x"]
    folds = []
    for fold in range(study.folds):
        columns = site_stage.remembered(context, fold).columns("harmonized")
        x = site_stage.standardised(columns, compared.models, fold)
        by_slice = site_stage.classifier_scores(study, x, compared.models, fold)
        folds.append(patient_scores(by_slice, rows.patient, len(rows.patient_ids), "mean"))
    expected = round_scores(np.mean(folds, axis=0))
    aucs, covariance = delong_covariance(expected, rows.patient_labels)
    np.testing.assert_array_equal(answer.auc, aucs)
    np.testing.assert_array_equal(answer.covariance, covariance)
    found = comparison_results(study, compared, looked, events)
    assert [one["name"] for one in found["classifiers"]] == list(EVERY)
    for one, auc in zip(found["classifiers"], aucs, strict=True):
        assert one["external"]["x"]["auc"] == pytest.approx(auc)
        low, high = one["external"]["x"]["auc_ci"]
        assert low <= auc <= high
        counts = one["external"]["x"]["confusion"]
        assert counts["tp"] + counts["fn"] == counts["fp"] + counts["tn"] == 5
        assert "pooled rows" in one["how"]
    assert found["classifiers"][3]["settings"] == {"trees": 9, "depth": 3, "bins": 8}
    differences = found["differences"]["x"]
    assert [(one["a"], one["b"]) for one in differences] == list(itertools.combinations(EVERY, 2))
    assert differences[0]["difference"] == pytest.approx(aucs[0] - aucs[1])
    assert found["traffic"]["messages"] == compared.rounds + 2
    assert found["traffic"]["sent_bytes"] > 0


def test_a_site_that_goes_leaves_a_fit_of_those_that_stay(begun: Begun, tmp_path: Path) -> None:
    course = Course.over(begun.sites, tmp_path / "run", refuses("d", at="compare.fit.1"))
    compared = begun.compare(course)
    # The question of the first round, and those of rounds 10 and later, are without d.
    expected = pooled_models(begun, NAMES[:3], compared.models)
    for key, array in expected.items():
        np.testing.assert_allclose(compared.models[key], array, atol=1e-9, err_msg=key)


def test_a_newton_fit_begins_anew_where_a_site_goes_in_the_middle(
    begun: Begun, tmp_path: Path
) -> None:
    course = Course.over(begun.sites, tmp_path / "run", refuses("d", at="compare.fit.4"))
    compared = begun.compare(course)
    expected = pooled_models(begun, NAMES[:3], compared.models)
    for fold in range(2):
        for name in ("logistic", "svm"):
            key = f"{fold}.{name}.coefficients"
            np.testing.assert_allclose(compared.models[key], expected[key], atol=1e-7, err_msg=key)


def a_question(begun: Begun, compared: Compared, **fits: Any) -> CompareQuestion:
    """A question of the first round, with changed arrays; `__` stands for a dot."""
    study, asked = begun.sites.study, {}
    for fold in range(study.folds):
        size = compared.models[f"{fold}.features"].size
        for name, classifier in classifiers_of(study).items():
            fit = classifier.begin(size, fold, begun.harmonized.class_weights[fold])
            asked |= under(fit.asked(), f"{fold}.{name}")
    for key, change in fits.items():
        name = key.replace("__", ".").lstrip("_")
        asked[name] = change(asked[name])
    selected = {
        key: array
        for key, array in compared.models.items()
        if key == "class_weights" or key.count(".") == 1
    }
    return CompareQuestion(study.fingerprint, "fit", 1, selected, asked)


def passes(begun: Begun, question: CompareQuestion) -> Any:
    study, context = begun.sites.study, begun.sites.workers["a"].context
    answer = site_stage.answer(question, context)
    own = Patients.of(context.rows, study.folds)
    return check(study, question, answer, own, FEATURES)


def test_an_honest_question_passes_and_is_to_be_hidden(begun: Begun, done: tuple) -> None:
    passed = passes(begun, a_question(begun, done[0]))
    assert (passed.rule, passed.to_hide) == ("compare/fit", True)
    assert {field.name.rpartition(".")[2] for field in passed.fields} >= {"count", "histograms"}


def test_who_approves_is_told_of_the_comparison_where_there_is_one() -> None:
    study, plain = study_of(), study_of(classifiers=())
    own, outside = study.sites[0], study.sites[-1]
    told, without = dict(what_leaves(study, own)), dict(what_leaves(plain, own))
    assert told["compare"].startswith("masked; only the total over 3 or more sites")
    assert "boosting" in told["compare"]
    assert "each node of a tree" in told["compare"]
    assert {name: text for name, text in told.items() if name != "compare"} == without
    assert "each classifier compared" in dict(what_leaves(study, outside))["validate"]
    assert "classifier" not in dict(what_leaves(plain, outside))["validate"]
    assert "compare" in dict(what_runs(study, own))["stages"]
    assert "compare" not in dict(what_runs(plain, own))["stages"]
    few = dict(what_leaves(study_of(classifiers=("svm",)), own))["compare"]
    assert "tree" not in few


DISHONEST: dict[str, dict[str, Any]] = {
    "a node twice": {
        "_0__boosting__nodes": lambda a: np.concatenate([a, a]),
        "_0__boosting__columns": lambda a: np.concatenate([a, a]),
    },
    "more features for a node": {"_0__forest__columns": lambda a: np.tile(a, (1, 2))},
    "a feature beyond the last": {"_1__boosting__columns": lambda a: a + 1},
    "deeper trees": {
        "_0__boosting__feature": lambda a: np.full((len(a), 7), -1),
        "_0__boosting__cut": lambda a: np.zeros((len(a), 7), np.int64),
        "_0__boosting__value": lambda a: np.zeros((len(a), 15)),
    },
    "more trees": {
        "_0__forest__feature": lambda a: np.tile(a, (2, 1)),
        "_0__forest__cut": lambda a: np.tile(a, (2, 1)),
        "_0__forest__value": lambda a: np.tile(a, (2, 1)),
    },
    "a larger network": {"_0__perceptron__weights": lambda a: np.tile(a, 2)},
    "coefficients too many": {"_1__svm__coefficients": lambda a: np.append(a, 0.0)},
}


@pytest.mark.parametrize("name", DISHONEST)
def test_a_question_for_more_than_the_study_fits_is_refused(
    begun: Begun, done: tuple, name: str
) -> None:
    question = a_question(begun, done[0], **DISHONEST[name])
    honest = site_stage.answer(a_question(begun, done[0]), begun.sites.workers["a"].context)
    with pytest.raises(EgressRefused):
        check(begun.sites.study, question, honest, features=FEATURES)


def test_features_that_no_head_can_have_selected_are_refused(begun: Begun, done: tuple) -> None:
    question = a_question(begun, done[0])
    honest = site_stage.answer(question, begun.sites.workers["a"].context)
    own = question.selected
    size = own["0.features"].size
    for wrong in (
        {"0.features": np.zeros(size, np.int64)},
        {"0.features": own["0.features"] + FEATURES + 256},
        {"0.features": own["0.features"].astype(float)},
        {"0.center": np.zeros(size + 1)},
        {"class_weights": np.array([[1.0, 0.0], [1.0, 1.0]])},
        {key: np.arange(9) for key in ("0.features", "0.center", "0.scale")},
    ):
        changed = replace(question, selected=own | wrong)
        with pytest.raises(EgressRefused):
            check(begun.sites.study, changed, honest, features=FEATURES)


@pytest.fixture(scope="module")
def in_the_clear(tmp_path_factory: pytest.TempPathFactory) -> Begun:
    study = study_of(secure=False, classifiers=("logistic", "svm", "perceptron"))
    return Begun.of(study, tmp_path_factory.mktemp("clear"))


def test_in_the_clear_a_site_with_too_few_patients_says_nothing(
    in_the_clear: Begun, tmp_path: Path
) -> None:
    begun, study = in_the_clear, in_the_clear.sites.study
    compared = begun.compare(Course.over(begun.sites, tmp_path / "again"))
    question = a_question(begun, compared)
    passed = passes(begun, question)
    assert not passed.to_hide
    answer = site_stage.answer(question, begun.sites.workers["a"].context)
    few = Patients((1, 1), (1, 1), (1, 1), {})
    with pytest.raises(EgressRefused, match="minimum"):
        check(study, question, answer, few, FEATURES)


@pytest.mark.parametrize(
    ("key", "change"),
    [
        ("0.logistic.loss", lambda a: -np.abs(a) - 1.0),
        ("0.logistic.weight", lambda a: a + 1e6),
        ("1.svm.hessian", lambda a: a * np.nan),
        ("0.count", lambda a: a + 10_000),
        ("1.perceptron.gradient", lambda a: a[:-1]),
    ],
)
def test_a_bad_answer_is_quarantined_where_it_can_be_seen(
    in_the_clear: Begun, tmp_path: Path, key: str, change: Any
) -> None:
    def spoil(site: str, exchange: str, answer: Any) -> Any:
        if (site, exchange) != ("d", "compare.fit.1"):
            return answer
        return replace(answer, sums=answer.sums | {key: np.asarray(change(answer.sums[key]))})

    course = Course.over(in_the_clear.sites, tmp_path / "again", spoil)
    in_the_clear.compare(course)
    assert "quarantined" in course.failures("compare.fit.1")["d"]


def test_histograms_of_more_patients_than_enrolled_end_the_run(
    begun: Begun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = site_stage._sums

    def sums(question: CompareQuestion, context: Any) -> Arrays:
        found = honest(question, context)
        return {
            key: array * 50.0 if key.endswith("histograms") else array
            for key, array in found.items()
        }

    monkeypatch.setattr(site_stage, "_sums", sums)
    begun.sites.remembered.clear()
    course = Course.over(begun.sites, tmp_path / "run")
    with pytest.raises(RunError, match="more patients than it enrolled"):
        begun.compare(course)
    begun.sites.remembered.clear()


def test_scores_come_without_sums_and_sums_without_scores(begun: Begun, done: tuple) -> None:
    context = begun.sites.workers["a"].context
    compared = done[0]
    question = a_question(begun, compared)
    fit = site_stage.answer(question, context)
    scores = site_stage.answer(
        replace(question, step="scores", round=0, fits=compared.models), context
    )
    assert fit.histograms.size == fit.within.size == 0
    assert scores.sums == {}
    both = CompareAnswer(fit.sums, scores.histograms, scores.within)
    for one in (question, replace(question, step="scores", round=0, fits=compared.models)):
        with pytest.raises(EgressRefused):
            check(begun.sites.study, one, both, features=FEATURES)
