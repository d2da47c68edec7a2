"""A site answers what the study's search asks, in its order, and no trial or round more."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from site_samples import RUN, hold, make_rows, make_study

from client.egress.guard import check
from client.egress.patients import Patients
from client.egress.refused import EgressRefused
from client.stages import search as site_search
from client.stages.search import SURELY_WRONG, finite_or_wrong
from client.worker.worker import Worker
from common.cnn import initial_weights
from common.course import OffCourse, exchange_of, position
from common.messages import FuseQuestion, Refusal, SearchQuestion, TrainAnswer, TrainQuestion
from common.records import Envelope, from_answer, to_record
from common.secure_sum.scope import scope_of
from common.trials import settings_of

SEARCH: dict[str, Any] = {
    "budget": 7,
    "most_rounds": 2,
    "eta": 2,
    "widths": (0.02, 0.04),
    "learning_rates": (1e-3,),
    "dropouts": (0.2,),
}
"""Two trials of a round, the better goes on for a second; then two of two rounds."""
STUDY = make_study(("a", "b", "c"), search=SEARCH)


def question(
    step: str, rung: int, place: int, trial: int, number: int, **more: Any
) -> SearchQuestion:
    width = settings_of(STUDY, trial).cnn.width if 1 <= trial <= 4 else 0.02
    content: dict[str, Any] = {
        "slices": 60,
        "class_weights": np.ones(2),
        "weights": initial_weights(width, 0.2, 128, 1),
    }
    return SearchQuestion(STUDY.fingerprint, step, rung, place, trial, number, **(content | more))


IN_ORDER = [
    question("train", 0, 0, 1, 1),
    question("measure", 0, 0, 1, 1),
    question("train", 0, 1, 2, 1),
    question("measure", 0, 1, 2, 1),
    question("train", 1, 0, 2, 2),
    question("measure", 1, 0, 2, 2),
    question("train", 2, 0, 3, 1),
    question("train", 2, 0, 3, 2),
    question("measure", 2, 0, 3, 2),
    question("train", 2, 1, 4, 1),
    question("train", 2, 1, 4, 2),
    question("measure", 2, 1, 4, 2),
]

NOT_ASKED = {
    "no such trial": question("train", 2, 0, 5, 1),
    "a trial of another bracket": question("train", 1, 0, 3, 2),
    "another trial in its place": question("train", 0, 0, 2, 1),
    "a place more": question("train", 1, 1, 1, 2),
    "a place before the first": question("train", 0, -1, 1, 1),
    "a round too many": question("train", 0, 0, 1, 2),
    "a round that it has had": question("train", 1, 0, 1, 1),
    "measured before the rung ends": question("measure", 2, 0, 3, 1),
    "no such rung": question("train", 3, 0, 1, 1),
    "a rung before the first": question("train", -1, 0, 1, 1),
    "no such step": question("look", 0, 0, 1, 1),
}


def test_the_order_is_that_of_the_schedule() -> None:
    after = TrainQuestion(STUDY.fingerprint, 0, 1, 40, np.ones(2), np.zeros(3, np.float32), 1)
    places = [position(one, STUDY) for one in [*IN_ORDER, after]]
    assert places == sorted(set(places))
    names = [exchange_of(one) for one in IN_ORDER]
    assert len(set(names)) == len(names)
    assert names[0] == "search.train.0.1.1"
    assert {scope_of(name) for name in names} == {"search"}
    rounds = [one for one in IN_ORDER if one.step == "train"]
    assert len(rounds) == sum(rung.cost for rung in STUDY.search.rungs) == 7


@pytest.mark.parametrize("why", NOT_ASKED)
def test_a_trial_that_is_not_the_study_s_is_refused(why: str) -> None:
    asked = NOT_ASKED[why]
    with pytest.raises(OffCourse):
        position(asked, STUDY)
    with pytest.raises(EgressRefused):
        check(STUDY, asked, TrainAnswer(0, 0, 0.0, np.zeros(0, np.float32), np.zeros(2), HISTOGRAM))


HISTOGRAM = np.zeros((2, 1001), np.int64)


def test_a_study_without_a_search_asks_for_none() -> None:
    plain = make_study(("a", "b", "c"))
    for asked in IN_ORDER:
        with pytest.raises(OffCourse):
            position(replace(asked, fingerprint=plain.fingerprint), plain)
    own = TrainQuestion(plain.fingerprint, 0, 1, 40, np.ones(2), np.zeros(3, np.float32))
    position(own, plain)
    with pytest.raises(OffCourse):
        position(replace(own, trial=1), plain)
    with pytest.raises(OffCourse):
        position(replace(own, fingerprint=STUDY.fingerprint), STUDY)


def ask(worker: Worker, asked: Any) -> Any:
    envelope = Envelope(RUN, exchange_of(asked))
    return from_answer(TrainAnswer, worker.ask(asked.stage, to_record(asked), envelope))


def test_a_site_trains_a_trial_by_its_own_settings_and_does_not_go_back(tmp_path: Path) -> None:
    rows = make_rows("a", STUDY, 1, patients=12)
    worker = Worker(hold(rows, STUDY, tmp_path))
    for asked in IN_ORDER[:6]:
        found = ask(worker, asked)
        assert isinstance(found, TrainAnswer), found
        if asked.step == "train":
            assert found.change.shape == asked.weights.shape
            assert found.change.any()
            assert found.slices == rows.trains(0).sum()
            assert not found.histogram.any()
            assert not found.validation.any()
        else:
            assert found.change.size == found.slices == found.patients == 0
            assert found.histogram.sum() == np.unique(rows.patient[rows.validates(0)]).size
            assert found.validation[0] > 0
    again = ask(worker, IN_ORDER[2])
    assert isinstance(again, Refusal)
    assert again.code == "off-course"
    other = ask(worker, NOT_ASKED["no such trial"])
    assert isinstance(other, Refusal)


def test_an_external_site_is_never_asked(tmp_path: Path) -> None:
    study = make_study({"a": "train", "b": "train", "c": "train", "x": "external"}, search=SEARCH)
    worker = Worker(hold(make_rows("x", study, 1), study, tmp_path))
    for step in ("train", "measure"):
        asked = replace(question(step, 0, 0, 1, 1), fingerprint=study.fingerprint)
        found = ask(worker, asked)
        assert isinstance(found, Refusal)


def test_the_guard_lets_a_round_say_nothing_of_validation(tmp_path: Path) -> None:
    rows = make_rows("a", STUDY, 1, patients=12)
    context = hold(rows, STUDY, tmp_path)
    patients = Patients.of(rows, STUDY.folds)
    for asked in IN_ORDER[:2]:
        found = site_search.answer(asked, context)
        assert check(STUDY, asked, found, patients, 12).rule == f"search/{asked.step}"
    trained, measured = (site_search.answer(one, context) for one in IN_ORDER[:2])
    swapped = replace(trained, validation=measured.validation)
    with pytest.raises(EgressRefused):
        check(STUDY, IN_ORDER[0], swapped, patients, 12)
    with pytest.raises(EgressRefused):
        check(STUDY, IN_ORDER[1], replace(measured, change=trained.change), patients, 12)
    few = make_study(("a", "b", "c"), search=SEARCH, cohort={"minimum_patients_per_class": 6})
    own = replace(IN_ORDER[1], fingerprint=few.fingerprint)
    with pytest.raises(EgressRefused, match="patients"):
        check(few, own, measured, patients, 12)


def test_a_trial_that_diverges_stays_where_it_was_and_loses(tmp_path: Path) -> None:
    context = hold(make_rows("a", STUDY, 1, patients=12), STUDY, tmp_path)
    broken = np.full_like(IN_ORDER[0].weights, 1e30)
    asked = replace(IN_ORDER[0], weights=broken)
    found = site_search.answer(asked, context)
    assert not found.change.any()
    assert found.loss == 0.0
    measured = site_search.answer(replace(IN_ORDER[1], weights=broken), context)
    loss, weight = measured.validation
    assert loss / weight == pytest.approx(SURELY_WRONG)
    labels = np.array([0, 1])
    logits = np.array([0.5, -0.5])
    assert finite_or_wrong(logits, labels) is logits


def test_heads_are_asked_for_networks_of_the_study_s_trials_only(tmp_path: Path) -> None:
    """A model that names a trial which the study has not is refused before it is built."""
    from client.fold_features import features_with
    from common.errors import RunError
    from common.release import FoldModel
    from harmonization import BatchEffect, Reference

    rows = make_rows("a", STUDY, 1)
    ones = np.ones(12)
    reference = Reference(ones, np.zeros((0, 12)), ones, np.ones(12, bool), 10)
    weights = initial_weights(settings_of(STUDY, 3).cnn.width, 0.2, 128, 1)
    model = FoldModel(reference, np.zeros(0), weights, trial=3)
    assert FoldModel.from_arrays(model.arrays()).trial == 3
    effects = {"a": BatchEffect.unchanged(12, 0, "identity")}
    assert features_with(rows, model, STUDY, effects).deep.shape == (rows.labels.size, 256)
    with pytest.raises(RunError, match="no trial 9"):
        features_with(rows, replace(model, trial=9), STUDY, effects)
    assert "trial" not in FoldModel(reference, np.zeros(0), weights).arrays()
    assert FuseQuestion(STUDY.fingerprint, "moments").step == "moments"
