"""The table [comparison] of a study: off by default, and refused where it would tell too much."""

from __future__ import annotations

import pytest

from common.classifiers.registry import classifiers_of
from common.course import MOST_NEWTON_ROUNDS, OffCourse, position
from common.errors import StudyError
from common.messages import CalibrateQuestion, CompareQuestion, Question, ValidateQuestion
from common.study import Study
from common.study_file import parse_study

ALL = 'classifiers = ["logistic", "svm", "perceptron", "forest", "boosting"]'
TRAINS = "".join(f'[[sites]]\nname = "{name}"\nrole = "train"\n' for name in ("a", "b", "c"))
ROSTER = f'name = "tiny"\n{TRAINS}[[sites]]\nname = "x"\nrole = "external"\n'
PRIVATE = '[privacy]\nepsilon = 8.0\ncovers = "network"\n'


def study_of(more: str) -> Study:
    return parse_study(f"{ROSTER}[comparison]\n{more}\n")


def test_nothing_is_compared_unless_the_study_says_so() -> None:
    study = parse_study(ROSTER)
    assert not study.comparison.on
    assert classifiers_of(study) == {}
    for question in (
        CompareQuestion(study.fingerprint, "fit", 1),
        CompareQuestion(study.fingerprint, "scores"),
        ValidateQuestion(study.fingerprint, "classifiers"),
    ):
        with pytest.raises(OffCourse):
            position(question, study)


def test_an_empty_table_of_a_classifier_keeps_its_default() -> None:
    plain, written = study_of(ALL), study_of(f"{ALL}\n[comparison.svm]\n")
    assert written.fingerprint == plain.fingerprint
    assert written.comparison.svm.inverse_penalty == 0.01


def test_classifiers_come_in_the_order_of_the_study() -> None:
    assert list(classifiers_of(study_of('classifiers = ["svm", "logistic"]'))) == [
        "svm",
        "logistic",
    ]


def test_leaves_hold_the_study_s_minimum_of_patients() -> None:
    text = f"{ROSTER}[cohort]\nminimum_patients_per_class = 7\n[comparison]\n{ALL}\n"
    found = classifiers_of(parse_study(text))
    assert [found[name].least for name in ("forest", "boosting")] == [7, 7]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ('classifiers = ["svm", "svm"]', "one is named twice"),
        ('classifiers = ["knn"]', "comparison.classifiers"),
        (f"{ALL}\nbins = 1", "comparison.bins"),
        (f"{ALL}\n[comparison.boosting]\ndepth = 9", "comparison.boosting.depth"),
        (f"{ALL}\n[secure_sum]\nenabled = false", "forest and boosting: sums over the nodes"),
        (f'classifiers = ["svm"]\n{PRIVATE}', "their sums are exact"),
        ('classifiers = ["svm"]\n[reduction]\nmethod = "pca"', "use all of them"),
    ],
)
def test_what_is_refused_is_told_with_its_reason(more: str, reason: str) -> None:
    with pytest.raises(StudyError) as caught:
        study_of(more)
    assert reason in caught.value.what
    assert "line " in caught.value.what


def test_without_masks_what_sums_over_all_rows_may_be_compared() -> None:
    study = study_of(
        'classifiers = ["logistic", "svm", "perceptron"]\n[secure_sum]\nenabled = false'
    )
    assert study.comparison.trees == []


@pytest.mark.parametrize(
    ("more", "most"),
    [
        ('classifiers = ["forest"]\n[comparison.forest]\ndepth = 3', 3),
        ('classifiers = ["boosting"]\n[comparison.boosting]\ntrees = 7\ndepth = 3', 21),
        ('classifiers = ["perceptron", "forest"]\n[comparison.perceptron]\nrounds = 9', 9),
        ('classifiers = ["logistic"]', MOST_NEWTON_ROUNDS),
    ],
)
def test_no_more_is_on_the_course_than_the_slowest_classifier_needs(more: str, most: int) -> None:
    study = study_of(more)
    fingerprint = study.fingerprint
    course: list[Question] = [
        CalibrateQuestion(fingerprint, {}),
        *(CompareQuestion(fingerprint, "fit", number) for number in range(1, most + 1)),
        CompareQuestion(fingerprint, "scores"),
        ValidateQuestion(fingerprint, "scores"),
        ValidateQuestion(fingerprint, "placements"),
        ValidateQuestion(fingerprint, "classifiers"),
    ]
    places = [position(question, study) for question in course]
    assert places == sorted(set(places))
    for other in (0, most + 1):
        with pytest.raises(OffCourse):
            position(CompareQuestion(fingerprint, "fit", other), study)
    with pytest.raises(OffCourse):
        position(CompareQuestion(fingerprint, "scores", 1), study)
