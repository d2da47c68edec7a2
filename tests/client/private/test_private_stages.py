"""The stages of a study that hides each patient, at sites in memory: what leaves, and its price."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from flwr.supercore.task_identity import TaskIdentity
from site_samples import Direct, federation_of, hold, make_rows, make_study
from typer.testing import CliRunner

from client.cohort.folds import draw_private_folds
from client.cohort.rows import SiteRows, bounded
from client.context import SiteContext
from client.egress.guard import check
from client.egress.refused import EgressRefused
from client.network.inference import look
from client.network.slices import Slices
from client.private import calibrate, train
from client.private.cli import budget
from client.private.moments import noisy_moments
from client.private.spending import (
    BUDGET_FILE,
    TooLittleLeft,
    budget_of,
    kept_budget,
    require_room,
)
from client.worker.worker import Worker
from common.cnn import initial_weights
from common.course import OffCourse, position
from common.errors import MyoFedError
from common.feature_names import all_names
from common.messages import (
    CalibrateAnswer,
    CalibrateQuestion,
    EnrolAnswer,
    EnrolQuestion,
    FuseQuestion,
    HarmonizeQuestion,
    Refusal,
    TrainAnswer,
    TrainQuestion,
)
from common.privacy.budget import Budget, BudgetDamaged, BudgetSpent, Release
from common.privacy.class_moments import SD, bound_of
from common.privacy.of_study import noise_of, planned_epsilon, works_of
from common.privacy.plan import noise_multipliers
from common.records import Envelope, from_answer, to_record
from common.study import Study
from server.private import calibrate as pooled_calibrate
from server.private import fuse as pooled_fuse
from server.private import harmonize as pooled_harmonize
from server.private.fuse import network_head
from server.stages import train as pooled_train

BOUNDS = {name: [-1.0, 3.0] for name in all_names()[:5]}
QUIET = 1e9
"""An epsilon at which the noise is next to nothing, so that sums can be told."""
NAMES = ("a", "b", "c")


def private_study(folds: int = 1, **privacy: Any) -> Study:
    asked = {"epsilon": 8.0, "features": BOUNDS} | privacy
    if asked.get("covers") == "network":
        del asked["features"]
    return make_study(
        NAMES,
        folds=folds,
        privacy=asked,
        fusion={"patient_score": "mean"},
        harmonization={"mode": "mean_only"},
        training={"rounds": 2, "averaged_rounds": 1, "augmentation": "none"},
    )


def private_rows(name: str, study: Study, seed: int = 1, patients: int = 24) -> SiteRows:
    rows = make_rows(name, study, seed, patients=patients, slices=2, features=5, shift=0.3 * seed)
    scaled = np.clip((rows.features + 1.0) / 4.0, 0.0, 1.0) - 0.5
    return replace(rows, features=scaled, folds=draw_private_folds(rows.patient_ids, study, name))


@pytest.fixture
def site(tmp_path: Path) -> SiteContext:
    return site_of(private_study(), tmp_path)


def site_of(study: Study, folder: Path) -> SiteContext:
    context = hold(private_rows("a", study), study, folder)
    context.site.path.mkdir(parents=True)
    return context


def train_question(study: Study, number: int = 1) -> TrainQuestion:
    weights = initial_weights(study.cnn.width, study.cnn.dropout, 128, 1)
    return TrainQuestion(study.fingerprint, 0, number, 72, np.ones(2), weights)


def federation(study: Study, folder: Path) -> tuple[Direct, Any]:
    TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 0, 1
    rows = [private_rows(name, study, seed) for seed, name in enumerate(NAMES, start=1)]
    for name in NAMES:
        (folder / name).mkdir(parents=True)
    return federation_of(rows, study, folder)


# What a site sums.


def test_features_are_clipped_to_their_bounds() -> None:
    measured = np.linspace(-5.0, 5.0, 4)[:, None] + np.zeros(len(all_names()))
    names = [all_names()[7], all_names()[2]]
    found = bounded(measured, {names[0]: (-5.0, 5.0), names[1]: (0.0, 2.0)})
    np.testing.assert_allclose(found[:, 0], [-0.5, -1 / 6, 1 / 6, 0.5])
    np.testing.assert_allclose(found[:, 1], [-0.5, -0.5, 1 / 3, 0.5])


def test_the_noise_is_the_site_s_own_and_of_the_size_that_the_study_says(tmp_path: Path) -> None:
    study = private_study(epsilon=4.0)
    quiet = noisy_moments(site_of(private_study(epsilon=QUIET), tmp_path / "quiet"), 0)
    away = []
    for number in range(40):  # each folder has a secret of its own
        own = noisy_moments(site_of(study, tmp_path / str(number)), 0)
        away.append(np.diagonal(own - quiet, axis1=1, axis2=2))
    expected = noise_of(study).sums * bound_of(5)
    assert np.std(away) == pytest.approx(expected, rel=0.1)


# What the coordinator makes of it.


def test_next_to_no_noise_gives_the_pooled_reference_and_discriminant(tmp_path: Path) -> None:
    study = private_study(epsilon=QUIET)
    direct, roster = federation(study, tmp_path)
    harmonized = pooled_harmonize.run(direct, roster, study, 5)  # type: ignore[arg-type]
    rows = [context.rows for context in direct.contexts.values()]
    parts = [one.features[one.trains(0)] for one in rows]
    pooled = np.concatenate(parts)
    [reference] = harmonized.references
    np.testing.assert_allclose(reference.alpha, pooled.mean(axis=0), atol=1e-3)
    np.testing.assert_allclose(reference.sigma, SD, rtol=1e-9)
    assert harmonized.classes.tolist() == [[36, 36]]
    weights = pooled_train.run(direct, direct.run, roster, harmonized)  # type: ignore[arg-type]
    fused = pooled_fuse.run(direct, roster, study, harmonized, weights)  # type: ignore[arg-type]
    head = fused.folds[0].heads["radiomics", "harmonized"]
    # Features 0 and 1 tell the classes apart, the others say nothing.
    strongest = head.features[np.argsort(-np.abs(head.coefficients[1:]))[:2]]
    assert set(strongest.tolist()) == {0, 1}
    found = pooled_calibrate.run(direct, roster, fused.sites, study, fused.folds)  # type: ignore[arg-type]
    validating = sum(int((one.folds == 0).sum()) for one in rows)
    assert found.histograms[0].sum() == pytest.approx(validating, abs=0.1)
    assert all(0.0 <= one < 1.0 for one in found.thresholds)
    for context in direct.contexts.values():
        assert budget_of(context.site.path, QUIET, study.privacy.delta).spent <= QUIET


def test_the_network_s_own_head_gives_its_logits() -> None:
    study = private_study()
    weights = initial_weights(study.cnn.width, study.cnn.dropout, 128, 3)
    weights[-257:] = np.random.default_rng(0).normal(size=257)
    rows = private_rows("a", study, patients=4)
    view = look(weights, Slices(rows.images, rows.masks, rows.labels), study.cnn)
    columns = np.concatenate([rows.features, view.deep], axis=1)
    np.testing.assert_allclose(
        network_head(weights, 5).logits(columns), view.logits, rtol=1e-4, atol=1e-4
    )


# What it costs.


@pytest.mark.parametrize("folds", [1, 3])
@pytest.mark.parametrize("covers", ["everything", "network"])
def test_the_noise_of_a_study_fits_its_budget(folds: int, covers: str) -> None:
    study = private_study(folds, covers=covers)
    noise, works = noise_of(study), works_of(study)
    assert list(vars(noise).values()) == noise_multipliers(8.0, 1e-4, works)
    assert 7.9 < planned_epsilon(study) <= 8.0
    assert works[0].steps == max(1, folds - 1) * 2
    assert (noise.sums > 0.0) == (noise.scores > 0.0) == (covers == "everything")


def test_asked_again_the_same_leaves_and_nothing_is_spent(site: SiteContext) -> None:
    question = train_question(site.study)
    first = train.answer(question, site)
    before = (site.site.path / BUDGET_FILE).read_bytes()
    again = train.answer(question, site)
    assert again.change.tobytes() == first.change.tobytes()
    assert (site.site.path / BUDGET_FILE).read_bytes() == before
    other = train.answer(replace(question, class_weights=np.array([1.0, 2.0])), site)
    assert other.change.tobytes() != first.change.tobytes()
    assert len(budget_of(site.site.path, 8.0, 1e-4).entries) == 2


def test_other_heads_that_give_the_same_counts_are_another_release(
    site: SiteContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores, labels = np.full((5, 6), 0.4), np.array([0, 1] * 3)
    monkeypatch.setattr(calibrate, "validation_scores", lambda *_: (scores, labels))

    def ask(value: float) -> bytes:
        question = CalibrateQuestion(site.study.fingerprint, {"0.x": np.array([value])})
        return calibrate.answer(question, site).noisy.tobytes()

    monkeypatch.setattr(type(site.study.privacy), "most", 1e3)
    assert ask(1.0) == ask(1.0)
    assert len(budget_of(site.site.path, 1e3, 1e-4).entries) == 1
    assert ask(2.0) != ask(1.0)
    assert len(budget_of(site.site.path, 1e3, 1e-4).entries) == 2


def test_what_exceeds_the_budget_is_not_answered(site: SiteContext) -> None:
    study = site.study
    noise = noise_of(study).network
    spent = Release("0" * 32, "other weights", "weights", noise, scope="another study")
    Budget(8.0, 1e-4).require(spent).save(site.site.path / BUDGET_FILE)

    def ask_on() -> None:
        for number in range(1, 30):
            weights = train_question(study).weights + np.float32(number)
            train.answer(replace(train_question(study), weights=weights), site)

    # The study's noise is that of two rounds and a few sums.
    with pytest.raises(BudgetSpent, match="of 8"):
        ask_on()
    assert len(budget_of(site.site.path, 8.0, 1e-4).entries) > 2
    held = budget_of(site.site.path, 8.0, 1e-4)
    assert held.spent <= 8.0


def test_a_worker_refuses_in_a_fixed_sentence_when_the_budget_is_spent(site: SiteContext) -> None:
    worker, study = Worker(site), site.study
    held = Budget(8.0, 1e-4)
    for number in range(1000):
        try:
            held = held.require(Release(f"{number:032x}", "other", "sums", 8.0, scope="another"))
        except BudgetSpent:
            break
    held.save(site.site.path / BUDGET_FILE)
    question = train_question(study)
    answer = worker.ask("train", to_record(question), Envelope(site.run, "train.0.1"))
    refusal = from_answer(TrainAnswer, answer)
    assert isinstance(refusal, Refusal)
    assert refusal.code == "privacy-budget-spent"
    assert refusal.public == BudgetSpent.public
    asked = EnrolQuestion(study.fingerprint)
    answer = worker.ask("enrol", to_record(asked), Envelope(site.run, "enrol"))
    refusal = from_answer(EnrolAnswer, answer)
    assert isinstance(refusal, Refusal)
    assert refusal.code == "privacy-budget-too-small"


def test_a_study_that_does_not_fit_is_not_begun(tmp_path: Path) -> None:
    first, second = private_study(), private_study(delta=1e-5)
    context = site_of(first, tmp_path)
    require_room(context)
    train.answer(train_question(first), context)
    require_room(context)  # its own spending is part of it
    other = replace(context, study=second)
    other.__dict__["rows"] = context.rows
    with pytest.raises(TooLittleLeft, match="other studies"):
        require_room(other)
    third = replace(context, study=private_study(delta=1e-5, limit=20.0))
    third.__dict__["rows"] = context.rows
    require_room(third)


def test_a_ledger_that_was_lost_is_noticed(site: SiteContext) -> None:
    train.answer(train_question(site.study), site)
    (site.site.path / BUDGET_FILE).unlink()
    with pytest.raises(BudgetDamaged, match="is gone"):
        train.answer(train_question(site.study), site)
    with pytest.raises(BudgetDamaged):
        require_room(site)
    with pytest.raises(BudgetDamaged):
        kept_budget(site.site.path)


def test_the_command_shows_what_was_spent(site: SiteContext) -> None:
    command = typer.Typer()
    command.command()(budget)
    shown = CliRunner().invoke(command, [str(site.site.path)])
    assert "Nothing was released" in shown.output
    train.answer(train_question(site.study), site)
    shown = CliRunner().invoke(command, [str(site.site.path)])
    assert "weights of fold 0, round 1" in shown.output
    assert "the last study allows 8." in shown.output
    listed = json.loads(CliRunner().invoke(command, [str(site.site.path), "--json"]).output)
    assert [one["kind"] for one in listed["entries"]] == ["weights"]


# What may leave.


def test_the_guard_lets_out_the_noisy_change_and_nothing_beside_it(site: SiteContext) -> None:
    question = train_question(site.study)
    answer = train.answer(question, site)
    assert check(site.study, question, answer, features=5).rule == "train/private"
    histogram = answer.histogram.copy()
    histogram[0, 3] = 1
    for spoilt in (
        replace(answer, loss=0.3),
        replace(answer, validation=np.array([0.0, 1.0])),
        replace(answer, histogram=histogram),
    ):
        with pytest.raises(EgressRefused):
            check(site.study, question, spoilt, features=5)


def test_the_guard_lets_out_no_count_without_noise(site: SiteContext) -> None:
    question = CalibrateQuestion(site.study.fingerprint, {})
    noisy = np.zeros((3, 2, 20))
    blank = np.zeros((0, 2, 1001), np.int64)
    good = CalibrateAnswer(blank, np.zeros((0, 3)), noisy)
    assert check(site.study, question, good, features=5).rule == "calibrate/private"
    exact = np.zeros((5, 2, 1001), np.int64)
    for spoilt in (
        CalibrateAnswer(exact, np.zeros((0, 3)), noisy),
        CalibrateAnswer(blank, np.zeros((5, 3)), noisy),
        CalibrateAnswer(blank, np.zeros((0, 3))),
    ):
        with pytest.raises(EgressRefused):
            check(site.study, question, spoilt, features=5)


def test_what_would_cost_more_is_not_on_the_course() -> None:
    study = private_study()
    for question in (
        FuseQuestion(study.fingerprint, "heads", round=1),
        FuseQuestion(study.fingerprint, "stack"),
        HarmonizeQuestion(study.fingerprint, "covariates"),
    ):
        with pytest.raises(OffCourse):
            position(question, study)
    network = private_study(covers="network")
    assert position(FuseQuestion(network.fingerprint, "stack"), network)


# What a study may ask for.


def test_the_order_in_which_features_are_named_says_nothing() -> None:
    study = private_study()
    turned = private_study(features=dict(reversed(BOUNDS.items())))
    read = Study.model_validate_json(study.canonical())
    assert turned.fingerprint == read.fingerprint == study.fingerprint
    names = [one.radiomics_used(all_names()) for one in (study, turned, read)]
    assert names[0] == names[1] == names[2] == sorted(BOUNDS)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"privacy": {"epsilon": 8.0}}, "two or more named radiomics"),
        ({"privacy": {"epsilon": 8.0, "features": {"x": [0, 1]}}}, "no radiomic feature x"),
        (
            {"privacy": {"epsilon": 8.0, "features": BOUNDS | {all_names()[0]: [2.0, 2.0]}}},
            "is not below",
        ),
        ({"privacy": {"epsilon": 8.0, "covers": "network", "limit": 4.0}}, "is less than"),
        ({"privacy": {"features": BOUNDS}}, "covers everything is limited"),
        ({"privacy": {"epsilon": 8.0, "features": BOUNDS}}, "it is 'mean_only', not 'parametric'"),
        (
            {
                "privacy": {"epsilon": 8.0, "features": BOUNDS},
                "harmonization": {"covariates": [{"name": "age", "kind": "numeric"}]},
            },
            "without covariates",
        ),
        (
            {
                "privacy": {"epsilon": 8.0, "covers": "network"},
                "training": {"strategy": "median"},
            },
            "every answer is paid for",
        ),
    ],
)
def test_what_noise_cannot_cover_is_refused(content: dict[str, Any], told: str) -> None:
    with pytest.raises((ValueError, MyoFedError), match=told):
        make_study(NAMES, **content)
