"""The guard: texts, questions out of the study, answers under masks, refusals."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from egress_samples import a_study, problems, train_question

from client.egress.entry import Asked, Entry
from client.egress.guard import check, check_hidden, check_refusal
from client.egress.passed import Passed
from client.egress.refused import EgressRefused
from client.egress.rules import FEATURES, rule_of
from client.egress.words import RULES, words_of
from common.errors import MyoFedError, TooFewPatients
from common.messages import (
    EnrolAnswer,
    EnrolQuestion,
    FuseQuestion,
    HarmonizeQuestion,
    Hidden,
    Question,
    Refusal,
    TrainAnswer,
    ValidateQuestion,
)
from common.secure_sum.adding import hide
from common.versions import package_versions

STUDY = a_study()
MASKED = a_study(
    secure_sum={"enabled": True},
    folds=1,
    harmonization={},
)
ENROL = EnrolQuestion(STUDY.fingerprint)


def enrolled(**changes: Any) -> EnrolAnswer:
    content: dict[str, Any] = {
        "site": "a",
        "fingerprint": STUDY.fingerprint,
        "recipe": "0123456789abcdef",
        "self_test": "fedcba9876543210",
        "versions": json.dumps(package_versions(), sort_keys=True),
        "positive": 6,
        "negative": 6,
        "slices": 24,
    }
    return EnrolAnswer(**(content | changes))


def trained(question: Any, **changes: Any) -> TrainAnswer:
    histogram = np.zeros((2, 1001), np.int64)
    histogram[0, 3] = histogram[1, 900] = 4
    content: dict[str, Any] = {
        "slices": 20,
        "patients": 8,
        "loss": 3.5,
        "change": np.zeros(question.weights.size, np.float32),
        "validation": np.array([2.0, 4.0]),
        "histogram": histogram,
    }
    return TrainAnswer(**(content | changes))


def masks(answer: object) -> Hidden:
    return hide(answer, "a", {"b": b"1" * 32, "c": b"2" * 32}, b"context", 3)


def test_enrolment_passes_with_and_without_keys() -> None:
    check(STUDY, ENROL, enrolled())
    check(STUDY, ENROL, enrolled(session_key="0a" * 32, signature="0b" * 64))


@pytest.mark.parametrize(
    "change",
    [
        {"site": "d"},
        {"site": "a\n"},
        {"fingerprint": "0" * 64},
        {"recipe": "0123456789ABCDEF"},
        {"recipe": "0123456789abcde"},
        {"self_test": "patient P07 has a scar"},
        {"self_test": ""},
        {"session_key": "0a" * 31},
        {"session_key": "0A" * 32},
        {"signature": "0a" * 32},
        {"versions": "{}"},
        {"versions": json.dumps({"patients": ["P07"]})},
        {"versions": json.dumps(package_versions() | {"P07": "1"}, sort_keys=True)},
        {"versions": json.dumps(package_versions() | {"numpy": "P07 Smith"}, sort_keys=True)},
        {"versions": json.dumps(package_versions() | {"numpy": "1" * 41}, sort_keys=True)},
        {"versions": json.dumps(package_versions() | {"numpy": 2}, sort_keys=True)},
        {"versions": json.dumps(package_versions(), sort_keys=True, indent=1)},
        {"positive": 2**70},
        {"positive": np.int64(6)},
        {"slices": True},
    ],
)
def test_another_text_or_number_in_enrolment_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(EgressRefused):
        check(STUDY, ENROL, enrolled(**change))


def test_a_refusal_of_the_guard_tells_nothing() -> None:
    with pytest.raises(EgressRefused) as raised:
        check(STUDY, ENROL, enrolled(self_test="patient P07 has a scar"))
    error = raised.value
    assert isinstance(error, MyoFedError)
    assert error.code == "egress-refused"
    assert "P07" not in str(error)
    assert error.public == EgressRefused.public
    assert not any(word in error.public for word in ("self_test", "P07"))


def test_the_radiomic_features_are_939_unless_said_otherwise() -> None:
    assert FEATURES == 939
    forms = rule_of(STUDY, HarmonizeQuestion(STUDY.fingerprint, "features")).forms
    assert forms["sums/0.s_zx"].shape == (3, 939)


def strange_questions() -> list[Question]:
    name = STUDY.fingerprint
    train = train_question(STUDY, 60)
    heads = problems(STUDY)
    few = {key: value for key, value in heads.items() if key != "offsets"}
    index = np.asarray(heads["index"])
    offsets = np.asarray(heads["offsets"])
    other_fold, other_variant = index.copy(), index.copy()
    other_fold[0, 0], other_variant[0, 1] = 2, 2
    large = offsets.copy()
    large[1:] += 3
    many = {"index": np.zeros((9, 2), np.int64), "offsets": np.arange(10)}
    raw = {"index": np.tile([0, 1], (5, 1)), "offsets": np.arange(6)}
    asked = [
        few,
        heads | {"index": index.astype(float)},
        heads | {"index": index[:-1]},
        heads | {"index": index[:, 0]},
        heads | {"index": other_fold},
        heads | {"index": other_variant},
        heads | {"offsets": large},
        heads | {"offsets": -offsets},
        heads | many,
        heads | raw,
    ]
    return [
        HarmonizeQuestion(name, "rows"),
        HarmonizeQuestion(name, ""),
        replace(train, fold=2),
        replace(train, fold=-1),
        replace(train, round=0),
        replace(train, round=3),
        FuseQuestion(name, "rows"),
        ValidateQuestion(name, "rows"),
        *(FuseQuestion(name, "heads", problems=one) for one in asked),
    ]


@pytest.mark.parametrize("place", range(len(strange_questions())))
def test_a_question_that_the_study_has_not_has_no_answer(place: int) -> None:
    with pytest.raises(EgressRefused):
        rule_of(STUDY, strange_questions()[place])


def test_covariates_are_summed_only_where_the_study_fills_them() -> None:
    plain = a_study(harmonization={})
    with pytest.raises(EgressRefused):
        rule_of(plain, HarmonizeQuestion(plain.fingerprint, "covariates"))


def test_an_answer_to_be_hidden_does_not_leave_in_the_clear() -> None:
    question = train_question(MASKED, 60)
    plain = check(MASKED, question, trained(question))
    assert plain.to_hide
    with pytest.raises(ValueError, match="masks"):
        Entry.of(plain, Asked(MASKED.fingerprint))


def test_under_masks_the_layout_and_three_vectors_leave() -> None:
    question = train_question(MASKED, 60)
    answer = trained(question)
    hidden = masks(answer)
    passed = check_hidden(check(MASKED, question, answer), hidden)
    assert passed.rule == "train/masked"
    assert not passed.to_hide
    shapes = {field.name: (field.dtype, field.shape) for field in passed.fields}
    assert shapes == {
        "layout": ("text", ()),
        # slices, patients, loss, 2 of validation, the histogram
        "statistics": ("uint32", (3 + 2 + 2002, 3)),
        "weights": ("uint32", (question.weights.size, 1)),
        "levels": ("uint8", (0, 1)),
    }
    assert Entry.of(passed, Asked(MASKED.fingerprint)).rule == "train/masked"


def test_anything_else_under_masks_is_refused() -> None:
    question = train_question(MASKED, 60)
    answer = trained(question)
    plain, hidden = check(MASKED, question, answer), masks(answer)
    entries = json.loads(hidden.layout)
    renamed = json.dumps([["P07", *entries[0][1:]], *entries[1:]])
    changes: list[dict[str, Any]] = [
        {"layout": ""},
        {"layout": hidden.layout + " "},
        {"layout": renamed},
        {"layout": json.dumps(entries[1:])},
        {"statistics": hidden.statistics[:-1]},
        {"statistics": np.concatenate([hidden.statistics, hidden.statistics[:1]])},
        {"statistics": hidden.statistics[:, :2]},
        {"statistics": hidden.statistics.astype(np.float64)},
        {"weights": hidden.weights[:-1]},
        {"weights": hidden.weights.astype(np.uint64)},
        {"weights": hidden.weights[:, 0]},
        {"levels": np.zeros((1, 1), np.uint8)},
        {"levels": hidden.levels.astype(np.int8)},
    ]
    for change in changes:
        with pytest.raises(EgressRefused):
            check_hidden(plain, replace(hidden, **change))
    with pytest.raises(EgressRefused):
        check_hidden(plain, answer)  # type: ignore[arg-type]


def test_only_what_is_summed_may_be_under_masks() -> None:
    enrol = EnrolQuestion(MASKED.fingerprint)
    passed = check(MASKED, enrol, enrolled(fingerprint=MASKED.fingerprint))
    assert not passed.to_hide
    question = train_question(STUDY, 60)
    for plain in (passed, check(STUDY, question, trained(question))):
        with pytest.raises(EgressRefused):
            check_hidden(plain, masks(trained(question)))


def test_a_refusal_is_a_code_and_its_own_sentence() -> None:
    passed = check_refusal(Refusal(TooFewPatients.code, TooFewPatients.public))
    assert (passed.kind, passed.rule) == ("refusal", "refusal")
    assert (passed.code, passed.sentence) == (TooFewPatients.code, TooFewPatients.public)
    assert [field.name for field in passed.fields] == ["code", "public"]
    check_refusal(Refusal("internal", MyoFedError.public))
    for bad in (
        Refusal(TooFewPatients.code, "Patient P07 is missing."),
        Refusal("P07", TooFewPatients.public),
        Refusal("internal", TooFewPatients.public),
    ):
        with pytest.raises(EgressRefused):
            check_refusal(bad)


def test_every_rule_has_words_and_masks_are_said() -> None:
    for rule in RULES:
        assert words_of(rule).endswith(".")
        assert "masks" in words_of(f"{rule}/masked").removeprefix(words_of(rule))
    assert "does not know" in words_of("everything")


def test_passed_is_what_the_ledger_takes() -> None:
    entry = Entry.of(Passed("answer", "train", ()), Asked("f", "run-1"))
    assert (entry.kind, entry.rule, entry.asked.run) == ("answer", "train", "run-1")
