"""Questions come in the order of the study, and none of them twice with another content."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from site_samples import RUN, hold, make_rows, make_study

from client.context import SiteContext
from client.worker.course import remember, require_in_turn
from client.worker.worker import Worker
from common.cnn import initial_weights
from common.course import MOST_NEWTON_ROUNDS, OffCourse, describe, exchange_of, position
from common.errors import RunError
from common.messages import (
    CalibrateQuestion,
    CardQuestion,
    DescribeQuestion,
    EnrolQuestion,
    FuseQuestion,
    HarmonizeQuestion,
    Question,
    Refusal,
    TrainAnswer,
    TrainQuestion,
    ValidateQuestion,
)
from common.records import Envelope, digest_of, from_answer, to_record

AGE = {"covariates": [{"name": "age", "kind": "numeric"}], "missing": "mean"}
TRAINING = {"rounds": 3, "averaged_rounds": 1}
REPORT = {
    "patients": True,
    "site_card": ["site"],
    "variables": [
        {"name": "sex", "kind": "categorical", "levels": ["F", "M"], "subgroups": True},
    ],
}
STUDY = make_study(("a", "b"), folds=2, training=TRAINING, harmonization=AGE, report=REPORT)
F = STUDY.fingerprint


def training(fold: int, number: int, weights: float = 0.0) -> TrainQuestion:
    return TrainQuestion(F, fold, number, 40, np.ones(2), np.full(3, weights, np.float32))


IN_ORDER: list[Question] = [
    EnrolQuestion(F),
    DescribeQuestion(F, "flow"),
    DescribeQuestion(F, "table"),
    HarmonizeQuestion(F, "covariates"),
    HarmonizeQuestion(F, "features"),
    *(training(fold, number) for fold in (0, 1) for number in (1, 2, 3)),
    FuseQuestion(F, "moments"),
    *(FuseQuestion(F, "heads", number) for number in range(1, MOST_NEWTON_ROUNDS + 1)),
    FuseQuestion(F, "stack"),
    CalibrateQuestion(F, {}),
    CardQuestion(F, "sums"),
    CardQuestion(F, "held-out"),
    ValidateQuestion(F, "scores"),
    ValidateQuestion(F, "placements"),
    ValidateQuestion(F, "subgroups"),
]

NOT_ASKED: list[Question] = [
    HarmonizeQuestion(F, "patients"),
    HarmonizeQuestion(F, ""),
    training(0, 0),
    training(0, 4),
    training(-1, 1),
    training(2, 1),
    FuseQuestion(F, "moments", 1),
    FuseQuestion(F, "heads", 0),
    FuseQuestion(F, "heads", MOST_NEWTON_ROUNDS + 1),
    FuseQuestion(F, "heads", -1),
    FuseQuestion(F, "stack", 7),
    FuseQuestion(F, "rows"),
    ValidateQuestion(F, "labels"),
    # The study sums nothing under masks.
    DescribeQuestion(F, "sums"),
    DescribeQuestion(F, "rows"),
    CardQuestion(F, "rows"),
]


@pytest.fixture
def context(tmp_path: Path) -> SiteContext:
    rows = make_rows("a", STUDY, 1, patients=8, slices=2)
    return hold(rows, STUDY, tmp_path)


def comes(context: SiteContext, question: Question, exchange: str = "") -> None:
    """Let a question come, and be answered if it may."""
    digest = digest_of(to_record(question))
    require_in_turn(question, digest, exchange or exchange_of(question), context)
    remember(question, digest, context)


def test_the_questions_of_a_study_have_an_order_and_names_of_their_own() -> None:
    places = [position(question, STUDY) for question in IN_ORDER]
    assert places == sorted(set(places))
    names = [exchange_of(question) for question in IN_ORDER]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("question", NOT_ASKED, ids=exchange_of)
def test_what_the_study_does_not_ask_is_refused(context: SiteContext, question: Question) -> None:
    with pytest.raises(OffCourse, match="has no question"):
        position(question, STUDY)
    with pytest.raises(OffCourse):
        comes(context, question)


def test_means_of_covariates_are_asked_only_where_the_study_fills_them() -> None:
    for harmonization in ({}, AGE | {"missing": "refuse"}):
        study = make_study(("a", "b"), harmonization=harmonization)
        with pytest.raises(OffCourse):
            position(HarmonizeQuestion(F, "covariates"), study)
        position(HarmonizeQuestion(F, "features"), study)


def test_the_report_is_asked_only_as_far_as_the_study_says() -> None:
    bare = make_study(("a", "b"))
    for question in IN_ORDER:
        if isinstance(question, DescribeQuestion | CardQuestion) or question == IN_ORDER[-1]:
            with pytest.raises(OffCourse):
                position(question, bare)
    features = make_study(("a", "b"), report={"features": True})
    position(CardQuestion(F, "sums"), features)
    with pytest.raises(OffCourse):
        position(CardQuestion(F, "held-out"), features)
    hiding = make_study(("a", "b", "c"), report=REPORT, secure_sum={"enabled": True})
    position(DescribeQuestion(F, "sums"), hiding)


def test_all_may_come_in_order_and_each_again_word_for_word(context: SiteContext) -> None:
    for question in IN_ORDER:
        comes(context, question)
        comes(context, question)


def test_nothing_that_lies_behind_may_come(context: SiteContext) -> None:
    for last in range(2, len(IN_ORDER)):
        comes(context, IN_ORDER[last])
        for before in IN_ORDER[1:last]:
            with pytest.raises(OffCourse, match="after a later question"):
                comes(context, before)
        comes(context, IN_ORDER[0])


def test_questions_may_be_left_out(context: SiteContext) -> None:
    for question in IN_ORDER[2::5]:
        comes(context, question)


@pytest.mark.parametrize(
    "other",
    [
        training(1, 2, weights=1e-7),
        replace(training(1, 2), slices=41),
        replace(training(1, 2), class_weights=np.array([1.0, 2.0])),
        replace(training(1, 2), fingerprint="0" * 64),
    ],
)
def test_another_content_in_the_same_place_is_refused(
    context: SiteContext, other: TrainQuestion
) -> None:
    comes(context, training(1, 2))
    with pytest.raises(OffCourse, match="a second time"):
        comes(context, other)
    comes(context, training(1, 2))
    comes(context, training(1, 3))


def test_the_envelope_must_name_the_question_s_own_place(context: SiteContext) -> None:
    """The account of sets is kept by that name, and masks are bound to it."""
    for exchange in ("train.1.1", "train.0.2", "calibrate", "train.0.1.1"):
        with pytest.raises(OffCourse, match=f"an envelope that says {exchange}"):
            comes(context, training(0, 1), exchange)


def test_it_is_remembered_beyond_the_worker_and_for_one_run_only(context: SiteContext) -> None:
    comes(context, training(1, 1))
    again = SiteContext(context.site, STUDY, RUN)
    with pytest.raises(OffCourse):
        comes(again, training(0, 1))
    comes(SiteContext(context.site, STUDY, "run-2"), training(0, 1))


def test_a_worker_answers_the_same_again_and_nothing_that_was_changed(context: SiteContext) -> None:
    weights = initial_weights(STUDY.cnn.width, 0.2, 128, 1)
    question = replace(training(0, 2), weights=weights)

    def ask(worker: Worker, one: Question) -> Any:
        record = worker.ask(one.stage, to_record(one), Envelope(RUN, exchange_of(one)))
        return from_answer(TrainAnswer, record)

    first = ask(Worker(context), question)
    assert isinstance(first, TrainAnswer)
    assert ask(Worker(context), question).change.tobytes() == first.change.tobytes()
    refusal = Refusal(OffCourse.code, OffCourse.public)
    for other in (replace(question, weights=weights + 1e-6), replace(question, round=1)):
        assert ask(Worker(context), other) == refusal


def test_a_question_that_was_not_answered_may_be_put_right(
    context: SiteContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refusal tells nothing, so that nothing was asked twice."""
    from client.worker import worker as module

    worker, asked = Worker(context), []

    def fails(question: TrainQuestion, _: SiteContext) -> None:
        asked.append(question.round)
        raise RunError("No.")

    monkeypatch.setitem(module.STAGES, "train", fails)
    for weights in (0.0, 1.0):
        question = training(0, 1, weights)
        worker.ask("train", to_record(question), Envelope(RUN, "train.0.1"))
    assert asked == [1, 1]


def test_a_question_in_words() -> None:
    assert describe(training(1, 2)) == "fold 1, round 2"
    assert describe(FuseQuestion(F, "moments")) == "step moments"
    assert describe(EnrolQuestion(F)) == ""
