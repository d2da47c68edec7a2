"""The course of a run: which questions a study has, in which order, and how each is named.

A question's place in the run, its *exchange*, follows from what it asks. A site answers what is on
the course of the study that it approved, and nothing that lies behind it.
"""

from __future__ import annotations

from common.errors import MyoFedError
from common.messages import (
    CalibrateQuestion,
    CardQuestion,
    CompareQuestion,
    DescribeQuestion,
    EnrolQuestion,
    FuseQuestion,
    HarmonizeQuestion,
    Question,
    SearchQuestion,
    TrainQuestion,
    ValidateQuestion,
)
from common.study import Study
from common.study_tables import DEADLINES
from common.trials import trains_by

MOST_NEWTON_ROUNDS = 40
"""Rounds in which the heads must have converged."""

Position = tuple[int, ...]


class OffCourse(MyoFedError):
    """A question is not one of the study's, or comes out of turn, or asks twice."""

    code = "off-course"
    public = "The site was asked something that the study does not ask, or not now, or once only."


def stages_asked(study: Study) -> tuple[str, ...]:
    """Name the stages that a study has, in their order; the last is only of external sites."""
    off = {
        "describe": not study.report.patients,
        "compare": not study.comparison.on,
        "card": not study.report.compares,
    }
    named: list[str] = [stage for stage in DEADLINES if not off.get(stage, False)]
    if study.search.on:
        named.insert(named.index("train"), "search")
    return tuple(named)


def details_of(question: Question) -> dict[str, object]:
    """Say which of its stage's questions this is."""
    names = ["step", "fold", "round"]
    if isinstance(question, SearchQuestion):
        names = ["step", "rung", "trial", "round"]
    return {name: getattr(question, name) for name in names if hasattr(question, name)}


def exchange_of(question: Question) -> str:
    """Name a question's place in the run, for example ``train.0.7``."""
    return ".".join([question.stage, *(str(value) for value in details_of(question).values())])


def describe(question: Question) -> str:
    """Say in words which of its stage's questions this is; rounds are counted from 1."""
    details = details_of(question)
    if details.get("round") == 0:
        del details["round"]
    return ", ".join(f"{name} {value}" for name, value in details.items())


def position(question: Question, study: Study) -> Position:
    """Give where a question stands in the course of a study; later ones are greater.

    Raises
    ------
    OffCourse
        The study has no such question.
    """
    if isinstance(question, SearchQuestion):
        found = in_search(question, study)
    else:
        found = _position(question, study) or _if_asked_for(question, study)
    if found is None:
        raise OffCourse(
            f"The study {study.name} has no question {exchange_of(question)[:60]}.",
            "The coordinator does not follow the study. Speak to it before you go on.",
        )
    return found


def _position(question: Question, study: Study) -> Position | None:
    found: tuple[bool, Position] = (False, ())
    match question:
        case EnrolQuestion():
            found = True, (0,)
        case HarmonizeQuestion(step="covariates"):
            found = study.harmonization.fills, (1, 0)
        case HarmonizeQuestion(step="features"):
            found = True, (1, 1)
        case HarmonizeQuestion(step="reproducibility"):
            found = study.reduction.measures_icc, (1, 2)
        case TrainQuestion(fold=fold, round=number):
            fits = 0 <= fold < study.folds and 1 <= number <= study.training.rounds
            fits = fits and trains_by(study, question.trial)
            found = fits, (2, fold, number)
        case FuseQuestion(step="moments", round=number):
            found = number == 0, (3, 0)
        case FuseQuestion(step="heads" | "stack") if study.privacy.everything:
            pass
        case FuseQuestion(step="heads", round=number):
            found = 1 <= number <= MOST_NEWTON_ROUNDS, (3, 1, number)
        case FuseQuestion(step="stack", round=number):
            found = number == 0, (3, 2)
        case CalibrateQuestion():
            found = True, (4,)
        case ValidateQuestion(step="scores"):
            found = True, (5, 0)
        case ValidateQuestion(step="placements"):
            found = True, (5, 1)
    is_asked, place = found
    return place if is_asked else None


def _if_asked_for(question: Question, study: Study) -> Position | None:
    """Give where a question stands that only some studies ask for; None if this one does not."""
    asked, compared = study.report, study.comparison
    found: tuple[bool, Position] = (False, ())
    match question:
        case DescribeQuestion(step="flow"):
            found = asked.patients, (0, 1)
        case DescribeQuestion(step="table"):
            found = asked.has_table, (0, 2)
        case DescribeQuestion(step="sums"):
            found = asked.has_table and study.secure_sum.enabled, (0, 3)
        case CompareQuestion(step="fit", round=number):
            found = 1 <= number <= compared.most_rounds(MOST_NEWTON_ROUNDS), (4, 1, number)
        case CompareQuestion(step="scores", round=0):
            found = compared.on, (4, 2)
        case CardQuestion(step="sums"):
            found = asked.compares, (4, 3)
        case CardQuestion(step="held-out"):
            found = bool(asked.site_card), (4, 4)
        case ValidateQuestion(step="subgroups"):
            found = bool(asked.subgroups), (5, 2)
        case ValidateQuestion(step="attention"):
            found = study.explain.attention, (5, 3)
        case ValidateQuestion(step="classifiers"):
            found = compared.on, (5, 4)
    is_asked, place = found
    return place if is_asked else None


def in_search(question: SearchQuestion, study: Study) -> Position | None:
    """Give where a question stands in the search, which comes before all training; None if nowhere.

    A rung has as many places as the schedule says, each taken once: so the trials cannot have more
    rounds than the study's budget.
    """
    rungs = study.search.rungs
    if not 0 <= question.rung < len(rungs):
        return None
    rung, measures = rungs[question.rung], question.step == "measure"
    fits = 0 <= question.place < rung.places and rung.first <= question.trial <= rung.last
    if rung.opens:
        fits = fits and question.trial == rung.first + question.place
    if measures:
        fits = fits and question.round == rung.rounds
    else:
        fits = fits and question.step == "train" and rung.begins < question.round <= rung.rounds
    place = (2, -1, question.rung, question.place, question.round, int(measures))
    return place if fits else None
