"""The minimum cell: no sum over fewer patients than the study says leaves in the clear."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from egress_samples import FEATURES, Exchange, a_study, exchanges, some_rows

from client.egress.guard import check
from client.egress.patients import Patients
from client.egress.refused import EgressRefused
from client.egress.report_words import REPORT_WORDS
from client.egress.words import PRIVATE, REFUSAL, RULES
from common.study import Study

NOT_HERE = {REFUSAL, *REPORT_WORDS}
"""Rules that have tests of their own."""

LEAST = 5
"""More than a minimum of the samples' sites, so that it is the answer that is changed."""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Study, Exchange, Patients]]:
    study = a_study(cohort={"minimum_patients_per_class": LEAST})
    folder = tmp_path_factory.mktemp("sites")
    names = [rule for rule in RULES if rule not in NOT_HERE and not rule.endswith(PRIVATE)]
    rows = exchanges(study, folder)
    return {
        name: (study, exchange, patients)
        for name, (exchange, patients) in zip(names, rows, strict=True)
    }


ENOUGH = Patients((9, 9), (18, 18), (9, 9), {"age": (18, 18), "vendor": (9, 9)})


def with_sum(answer: Any, name: str, value: Any, index: Any = ...) -> Any:
    array = np.array(answer.sums[name])
    array[index] = value
    return replace(answer, sums=answer.sums | {name: array})


def histogram_of(patients: int) -> np.ndarray:
    histogram = np.zeros((2, 1001), np.int64)
    histogram[1, 7] = patients
    return histogram


SMALLER: list[tuple[str, Any]] = [
    ("enrol", lambda a: replace(a, positive=LEAST - 1)),
    ("enrol", lambda a: replace(a, negative=0)),
    ("enrol", lambda a: replace(a, slices=LEAST - 1)),
    ("harmonize/covariates", lambda a: with_sum(a, "0.count", 1, 1)),
    ("harmonize/features", lambda a: with_sum(a, "1.count", LEAST - 1)),
    ("train", lambda a: replace(a, patients=LEAST - 1)),
    ("train", lambda a: replace(a, slices=1)),
    ("train", lambda a: replace(a, histogram=histogram_of(LEAST - 1))),
    ("fuse/moments", lambda a: with_sum(a, "1.1.count", 1)),
    ("fuse/moments", lambda a: with_sum(a, "0.histogram", histogram_of(1))),
    ("fuse/heads", lambda a: with_sum(a, "0.0.weights", 0.8 * 4, 0)),
    ("fuse/heads", lambda a: with_sum(a, "1.1.validation", 0.8 * 4, (0, 1))),
    ("fuse/stack", lambda a: with_sum(a, "raw.count", 3)),
    ("calibrate", lambda a: replace(a, histograms=np.stack([histogram_of(4)] * 5))),
    ("calibrate", lambda a: replace(a, within=np.full((5, 3), 4.0))),
    ("validate/scores", lambda a: replace(a, histograms=np.stack([histogram_of(9)] * 5))),
    (
        "validate/placements",
        lambda a: replace(a, placements=a.placements | {"counts": np.array([9, 4])}),
    ),
    (
        "validate/attention",
        lambda a: replace(a, attention=a.attention | {"classes": np.array([9, 4])}),
    ),
    (
        "validate/attention",
        lambda a: replace(a, attention=a.attention | {"seen": np.full((2, 16), 4)}),
    ),
]


@pytest.mark.parametrize("place", range(len(SMALLER)))
def test_an_answer_that_says_it_is_of_too_few_is_refused(found: Any, place: int) -> None:
    rule, make = SMALLER[place]
    study, (question, answer), _ = found[rule]
    assert check(study, question, answer, ENOUGH, FEATURES).rule == rule
    with pytest.raises(EgressRefused, match="minimum is 5"):
        check(study, question, make(answer), ENOUGH, FEATURES)


BEHIND: list[tuple[str, dict[str, Any]]] = [
    ("enrol", {"classes": (4, 9)}),
    ("enrol", {"classes": (9, 0)}),
    ("harmonize/covariates", {"training": (18, 4)}),
    ("harmonize/covariates", {"observed": {"age": (18, 18), "vendor": (9, 1)}}),
    ("harmonize/features", {"training": (4, 18)}),
    # Two folds' sums tell by their difference what the validation patients alone sum to.
    ("harmonize/features", {"validating": (9, 4)}),
    ("train", {"training": (4, 18)}),
    ("train", {"validating": (1, 9)}),
    ("fuse/moments", {"training": (18, 4)}),
    ("fuse/moments", {"validating": (9, 4)}),
    ("fuse/heads", {"training": (18, 4)}),
    ("fuse/heads", {"validating": (4, 9)}),
    ("fuse/stack", {"validating": (2, 2)}),
    ("calibrate", {"validating": (2, 2)}),
    ("validate/scores", {"classes": (9, 4)}),
    ("validate/placements", {"classes": (4, 9)}),
    ("validate/attention", {"classes": (9, 4)}),
]


@pytest.mark.parametrize("place", range(len(BEHIND)))
def test_a_sum_over_too_few_of_the_site_is_refused(found: Any, place: int) -> None:
    rule, change = BEHIND[place]
    study, (question, answer), _ = found[rule]
    with pytest.raises(EgressRefused, match="minimum is 5"):
        check(study, question, answer, replace(ENOUGH, **change), FEATURES)


def test_a_sum_over_nobody_says_nothing_and_passes(found: Any) -> None:
    study, (question, answer), _ = found["train"]
    none = replace(answer, histogram=histogram_of(0), validation=np.zeros(2))
    check(study, question, none, replace(ENOUGH, validating=(0, 9)), FEATURES)


def test_under_masks_a_small_sum_is_hidden_and_passes(found: Any) -> None:
    _, (question, answer), _ = found["train"]
    covariates = {"covariates": [{"name": "age", "kind": "numeric"}]}
    study = a_study(secure_sum={"enabled": True}, harmonization=covariates)
    asked = replace(question, fingerprint=study.fingerprint)
    few = replace(answer, patients=1, slices=1)
    assert check(study, asked, few, replace(ENOUGH, training=(1, 1)), FEATURES).to_hide


def test_a_class_of_no_weight_is_refused(found: Any) -> None:
    study, (question, answer), _ = found["fuse/heads"]
    for weights in (np.zeros((2, 2)), np.array([[0.0, 1], [1, 1]]), np.ones((1, 2)), None):
        problems = dict(question.problems) | {"class_weights": weights}
        if weights is None:
            del problems["class_weights"]
        with pytest.raises(EgressRefused, match="no weight"):
            check(study, replace(question, problems=problems), answer, ENOUGH, FEATURES)


def test_patients_are_counted_from_the_rows(tmp_path: Path) -> None:
    study = a_study()
    rows = some_rows("a", study, patients=12)
    own = Patients.of(rows, study.folds)
    assert own.classes == (6, 6)
    assert sum(own.validating) == 12
    assert all(t + v == 12 for t, v in zip(own.training, own.validating, strict=True))
    assert own.observed["age"] == own.training
    # Three of the twelve have no vendor; each of these trains in one of the two folds.
    assert sum(own.training) - sum(own.observed["vendor"]) == 3
    # A patient without slices stands behind no sum.
    kept = rows.patient != 0
    assert own.paired == tuple(zip(own.training, own.validating, strict=True))
    fewer = replace(
        rows,
        patient=rows.patient[kept],
        labels=rows.labels[kept],
        second=None,
        covariates={
            name: [v for v, k in zip(values, kept, strict=True) if k]
            for name, values in rows.covariates.items()
        },
    )
    assert sum(Patients.of(fewer, study.folds).classes) == 11
    assert Patients.of(fewer, study.folds).paired == ((0, 0), (0, 0))
    assert Patients.of(some_rows("x", study), study.folds).validating == (0, 0)
