"""What real stages answer passes the guard; anything changed in it does not."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from egress_samples import FEATURES, Exchange, a_study, exchanges

from client.egress.guard import check
from client.egress.patients import Patients
from client.egress.refused import EgressRefused
from client.egress.report_words import REPORT_WORDS
from client.egress.words import PRIVATE, REFUSAL, RULES, words_of
from common.course import exchange_of
from common.message_parts import parts_of
from common.study import Study

NOT_HERE = {REFUSAL, *REPORT_WORDS}
"""Rules that have tests of their own."""

Case = tuple[Study, list[tuple[Exchange, Patients]]]

STUDIES: dict[str, dict[str, Any]] = {
    "two folds": {},
    "one fold, a reference site": {
        "folds": 1,
        "harmonization": {"reference": "a"},
        "fusion": {"sizes": (4,), "inverse_penalties": (0.3, 1.0)},
    },
}


@pytest.fixture(scope="module", params=list(STUDIES))
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    study = a_study(**STUDIES[request.param])
    return study, list(exchanges(study, tmp_path_factory.mktemp("sites")))


def passes(study: Study, question: Any, answer: Any) -> Any:
    return check(study, question, answer, features=FEATURES)


def changed(answer: Any, name: str, make: Any) -> Any:
    """The answer with one field, or one array of a dictionary, made anew."""
    whole, _, key = name.partition("/")
    held = getattr(answer, whole)
    if key:
        return replace(answer, **{whole: held | {key: make(held[key])}})
    return replace(answer, **{whole: make(held)})


def names_of(answer: Any) -> Iterator[tuple[str, Any]]:
    scalars, arrays = parts_of(answer)
    yield from {**scalars, **arrays}.items()


def test_every_real_answer_passes_with_all_its_fields(case: Case) -> None:
    study, found = case
    rules = []
    for (question, answer), patients in found:
        passed = check(study, question, answer, patients, FEATURES)
        rules.append(passed.rule)
        held = dict(names_of(answer))
        assert {field.name for field in passed.fields} == set(held)
        assert not passed.to_hide
        for field in passed.fields:
            value = held[field.name]
            if isinstance(value, np.ndarray):
                assert (field.dtype, field.shape) == (str(value.dtype), value.shape)
                assert field.bytes == value.nbytes
                assert field.sha256 == hashlib.sha256(value.tobytes()).hexdigest()
    wanted = [rule for rule in RULES if rule not in NOT_HERE and not rule.endswith(PRIVATE)]
    if study.harmonization.missing == "refuse":
        wanted.remove("harmonize/covariates")
    assert rules == wanted
    assert all("release" not in words_of(rule) for rule in rules)


def test_a_field_too_many_or_too_few_is_refused(case: Case) -> None:
    study, found = case
    for (question, answer), _ in found:
        for item in fields(answer):
            held = getattr(answer, item.name)
            if not isinstance(held, dict):
                continue
            more = replace(answer, **{item.name: held | {"patients": np.zeros(3)}})
            with pytest.raises(EgressRefused, match="unlisted"):
                passes(study, question, more)
            for key in held:
                less = {name: array for name, array in held.items() if name != key}
                with pytest.raises(EgressRefused, match="lacks 1"):
                    passes(study, question, replace(answer, **{item.name: less}))


def test_another_dtype_shape_or_type_is_refused(case: Case) -> None:
    study, found = case
    for (question, answer), _ in found:
        for name, value in names_of(answer):
            if isinstance(value, np.ndarray):
                other = np.float32 if value.dtype != np.float32 else np.float64
                makes = [
                    lambda a, d=other: a.astype(d),
                    lambda a: a.astype(complex),
                    lambda a: a[None],
                    lambda a: np.concatenate([a.ravel(), a.ravel()[:1] if a.size else np.zeros(1)]),
                ]
            else:
                makes = [lambda v: [v], lambda v: np.array([1.5]), lambda v: True]
                makes += [str] if not isinstance(value, str) else [len]
            for make in makes:
                with pytest.raises(EgressRefused):
                    passes(study, question, changed(answer, name, make))


def test_what_is_not_finite_or_a_negative_count_is_refused(case: Case) -> None:
    study, found = case
    tried = 0
    for (question, answer), _ in found:
        for name, value in names_of(answer):
            if isinstance(value, str) or (isinstance(value, np.ndarray) and not value.size):
                continue
            is_whole = np.asarray(value).dtype.kind == "i"
            for bad in (-1,) if is_whole else (np.nan, np.inf):
                tried += 1
                with pytest.raises(EgressRefused):
                    passes(study, question, changed(answer, name, lambda v, b=bad: put(v, b)))
    assert tried > 50


def put(value: Any, bad: float) -> Any:
    if not isinstance(value, np.ndarray):
        return type(value)(bad)
    array = value.copy()
    array.flat[-1] = bad
    return array


def test_an_answer_of_another_stage_step_or_study_is_refused(case: Case) -> None:
    study, found = case
    for (question, _), _ in found:
        for (other, answer), _ in found:
            # A round of a trial has the form of one of training, with zeros for what it leaves out.
            says_less = question.stage == "train" and exchange_of(other).startswith("search.train")
            if other is not question and not says_less:
                with pytest.raises(EgressRefused):
                    passes(study, question, answer)
    (question, answer), _ = found[0]
    with pytest.raises(EgressRefused, match="another study"):
        passes(a_study(seed=1), question, answer)


def test_the_placements_come_alone(case: Case) -> None:
    study, found = case
    (question, answer), _ = found[-1]
    for change in ({"images": 1}, {"batches": np.array([0, 3])}):
        with pytest.raises(EgressRefused, match="nothing was asked for"):
            passes(study, question, replace(answer, **change))
