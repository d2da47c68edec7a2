"""The guard and the report's answers: a small cell does not pass, under masks either."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from site_samples import hold, make_rows, make_study

from client.context import SiteContext
from client.egress.guard import check
from client.egress.patients import Patients
from client.egress.refused import EgressRefused
from client.egress.report_words import REPORT_WORDS
from client.egress.words import words_of
from client.stages import card, describe, validate
from common.heads import VARIANTS, under
from common.messages import CardQuestion, DescribeQuestion, ValidateQuestion
from common.patient_flow import NO_PHASE, REASONS, flow_in_words
from common.study import Study

P = 6
REPORT = {
    "patients": True,
    "features": True,
    "site_card": ["site", "sex"],
    "components": 2,
    "variables": [
        {"name": "age", "kind": "numeric", "lower": 10.0, "upper": 90.0, "width": 10.0},
        {"name": "sex", "kind": "categorical", "levels": ["F", "M"], "subgroups": True},
    ],
}
ROLES = {"a": "train", "b": "train", "c": "train", "x": "external"}


def study_of(*, secure: bool = True) -> Study:
    return make_study(
        ROLES,
        folds=2,
        cohort={"minimum_patients_per_class": 4},
        secure_sum={"enabled": secure},
        report=REPORT,
    )


def site(name: str, study: Study, folder: Path) -> SiteContext:
    rows = make_rows(name, study, 3, patients=32, slices=1, features=P, with_images=False)
    ages = [str(20 + 2 * number) for number in range(32)]
    sexes = [("F", "M")[number // 2 % 2] for number in range(32)]
    return hold(replace(rows, described={"age": ages, "sex": sexes}), study, folder)


def exchanges(study: Study, folder: Path) -> dict[str, tuple[Any, Any, Patients]]:
    """Every question of the report, with the answer of a site that is asked it, by rule."""
    inside, outside = site("a", study, folder), site("x", study, folder)
    rng = np.random.default_rng(0)
    model: dict[str, Any] = {}
    for fold in range(2):
        own = {name: rng.normal(size=(32, P)) for name in ("harmonized", "raw", "deep")}
        inside.memory.save(f"features-{fold}", own)
        for number in range(len(VARIANTS)):
            model |= under(
                {"center": np.zeros(P), "axes": rng.normal(size=(P, 2))}, f"{fold}.{number}"
            )
    rules: dict[str, Any] = {}
    for fold in range(2):
        for number in range(len(VARIANTS)):
            for of, groups in (("site", 3), ("sex", 2)):
                place = f"{fold}.{number}.{of}"
                rules |= {f"{place}.weights": rng.normal(size=(groups, 2))}
                rules |= {f"{place}.intercepts": np.zeros(groups)}
    rules |= {"site.share": np.full(3, 0.01), "sex.share": np.full(2, 0.01)}
    outside.memory.save(
        "external-scores",
        {"scores": rng.random((5, 32)).round(3), "thresholds": np.full(5, 0.5)},
    )
    f = study.fingerprint
    asked = [
        (DescribeQuestion(f, "flow"), describe, inside),
        (DescribeQuestion(f, "table"), describe, outside),
        (DescribeQuestion(f, "sums"), describe, inside),
        (CardQuestion(f, "sums", model), card, inside),
        (CardQuestion(f, "held-out", rules), card, inside),
        (ValidateQuestion(f, "subgroups"), validate, outside),
    ]
    return {
        f"{question.stage}/{question.step}": (
            question,
            stage.answer(question, context),
            Patients.of(context.rows, 2),
        )
        for question, stage, context in asked
    }


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Any, Any, Patients]]:
    return exchanges(study_of(), tmp_path_factory.mktemp("sites"))


def test_every_real_answer_passes_by_a_rule_with_words(found: Any) -> None:
    study = study_of()
    for rule, (question, answer, patients) in found.items():
        passed = check(study, question, answer, patients, P)
        assert passed.rule == rule
        assert passed.to_hide == (rule in ("describe/sums", "card/sums", "card/held-out"))
        assert words_of(rule) == REPORT_WORDS[rule]
    assert set(found) == set(REPORT_WORDS)


def test_a_study_that_does_not_ask_has_no_such_answer(found: Any) -> None:
    bare = make_study(ROLES, folds=2, secure_sum={"enabled": True})
    for question, answer, patients in found.values():
        asked = replace(question, fingerprint=bare.fingerprint)
        with pytest.raises(EgressRefused, match="no such question"):
            check(bare, asked, answer, patients, P)


SMALL = [
    ("describe/flow", "flow", "excluded", 0),
    ("describe/flow", "flow", "used", 1),
    ("describe/table", "table", "age.count", (0, 1)),
    ("describe/table", "table", "sex.counts", (1, 2)),
    ("describe/sums", "sums", "age.count", 1),
    ("card/sums", "sums", "0.0.site.count", 0),
    ("card/sums", "sums", "1.sex.held", 1),
    ("validate/subgroups", "subgroups", "sex.patients", (1, 0)),
]


@pytest.mark.parametrize(("rule", "field", "key", "place"), SMALL)
def test_a_small_cell_does_not_leave(
    found: Any, rule: str, field: str, key: str, place: Any
) -> None:
    question, answer, patients = found[rule]
    for few, passes in ((3, False), (1, False), (0, True), (4, True)):
        array = np.array(getattr(answer, field)[key])
        array[place] = few
        changed = replace(answer, **{field: getattr(answer, field) | {key: array}})
        if passes:
            check(study_of(), question, changed, patients, P)
            continue
        with pytest.raises(EgressRefused, match="minimum is 4"):
            check(study_of(), question, changed, patients, P)


def test_a_variable_known_of_few_does_not_enter_a_sum(found: Any, tmp_path: Path) -> None:
    study = study_of()
    context = site("b", study, tmp_path)
    held = context.rows.described
    # Of the positives, odd numbers, three have an age and two a sex.
    held["age"][:] = ["50" if n % 2 == 0 or n in (1, 3, 5) else "" for n in range(32)]
    held["sex"][:] = ["F" if n % 2 == 0 or n in (1, 3) else "" for n in range(32)]
    question = DescribeQuestion(study.fingerprint, "sums")
    answer = describe.answer(question, context)
    assert answer.sums["age.count"].tolist() == [16, 0]
    assert answer.sums["age.missing"].tolist() == [0, 16]
    for name in ("total", "squares"):
        assert answer.sums[f"age.{name}"][1] == 0.0
    assert not answer.sums["age.histogram"][1].any()
    assert answer.sums["sex.counts"].tolist() == [[16, 0, 0, 0], [0, 0, 0, 16]]
    check(study, question, answer, found["describe/sums"][2], P)


def test_a_field_too_many_does_not_leave(found: Any) -> None:
    for question, answer, patients in found.values():
        for field in ("flow", "table", "sums", "subgroups"):
            if hasattr(answer, field):
                more = replace(answer, **{field: getattr(answer, field) | {"ids": np.zeros(3)}})
                with pytest.raises(EgressRefused, match="unlisted"):
                    check(study_of(), question, more, patients, P)


def test_in_the_clear_sums_of_small_folds_do_not_leave(tmp_path: Path) -> None:
    study = study_of(secure=False)
    context = site("a", study, tmp_path)
    rng = np.random.default_rng(0)
    model: dict[str, Any] = {}
    for fold in range(2):
        own = {name: rng.normal(size=(32, P)) for name in ("harmonized", "raw", "deep")}
        context.memory.save(f"features-{fold}", own)
        for number in range(2):
            model |= under({"center": np.zeros(P), "axes": np.eye(P)[:, :2]}, f"{fold}.{number}")
    question = CardQuestion(study.fingerprint, "sums", model)
    answer = card.answer(question, context)
    patients = Patients.of(context.rows, 2)
    check(study, question, answer, patients, P)
    with pytest.raises(EgressRefused, match="minimum is 4"):
        check(study, question, answer, replace(patients, validating=(3, 16)), P)


def test_the_flow_counts_patients_without_an_image_of_the_study_s_phases(tmp_path: Path) -> None:
    study = study_of()
    context = site("a", study, tmp_path)
    rows = context.rows
    for lacking, told in ((5, True), (2, False)):
        kept = rows.patient >= lacking
        fewer = replace(rows, patient=rows.patient[kept], labels=rows.labels[kept])
        context.__dict__["rows"] = fewer
        known = {reason: 0 for reason in REASONS if reason != NO_PHASE}
        info = replace(context.site.info, left_out=known | {REASONS[1]: 4})
        context.site.info = info
        answer = describe.answer(DescribeQuestion(study.fingerprint, "flow"), context)
        said = flow_in_words(answer.flow)
        if told:
            assert said == {
                "listed": 36,
                "excluded": {REASONS[1]: 4, NO_PHASE: 5},
                "used": 27,
            }
        else:
            assert (said["listed"], said["used"]) == (None, None)
            assert set(said["excluded"].values()) == {None}
