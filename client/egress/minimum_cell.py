"""The minimum cell: no sum over fewer patients than the study's minimum leaves in the clear.

What an answer says of itself is looked at first: where it counts patients or slices, these must be
enough, and there are never more patients than slices. What it does not say is looked up in the
site's own counts. Patients of both classes count together, as in the sums; only where patients
themselves are counted by class, each class must be enough.

A sum over no patient at all says nothing and may leave.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from client.egress.heads_rule import problem_sizes
from client.egress.patients import Patients
from client.egress.refused import refuse, too_few
from client.egress.report_rules import counted_in
from common.heads import VARIANTS
from common.messages import (
    Arrays,
    CalibrateAnswer,
    CalibrateQuestion,
    CardAnswer,
    CardQuestion,
    CompareAnswer,
    CompareQuestion,
    DescribeAnswer,
    EnrolAnswer,
    FuseAnswer,
    FuseQuestion,
    HarmonizeAnswer,
    HarmonizeQuestion,
    Question,
    SearchQuestion,
    TrainAnswer,
    TrainQuestion,
    ValidateAnswer,
)
from common.question_kinds import Answer
from common.study import Study
from common.trials import FOLD

Weights = NDArray[np.float64]


@dataclass(frozen=True)
class Cell:
    """What a sum is over, and how many patients that are at most."""

    what: str
    size: int
    may_be_none: bool = True


def require_cells(study: Study, cells: Iterable[Cell]) -> None:
    """Require that each cell is empty, or not below the study's minimum.

    Raises
    ------
    EgressRefused
        One is smaller, or is empty where it must not be.
    """
    least = study.cohort.minimum_patients_per_class
    for cell in cells:
        if cell.size < least and not (cell.may_be_none and cell.size == 0):
            raise too_few(cell.what, cell.size, least)


def said_in(study: Study, question: Question, answer: Answer) -> list[Cell]:
    """List the cells that an answer in the form of its rule names itself.

    Raises
    ------
    EgressRefused
        The question weighs a class with nothing, so that its sums are over the other one alone.
    """
    match answer:
        case EnrolAnswer():
            counts = {"the negative class": answer.negative, "the positive class": answer.positive}
            cells = [Cell(what, size, False) for what, size in counts.items()]
            cells.append(Cell("all of it", answer.slices, False))
        case DescribeAnswer() | CardAnswer():
            cells = [Cell(what, size) for what, size in counted_in(answer)]
        case HarmonizeAnswer():
            cells = _named(answer.sums, "count") + _named(answer.sums, "patients")
        case TrainAnswer():
            cells = [Cell("its patients", answer.patients), Cell("its slices", answer.slices)]
            cells += _counted("its histogram", answer.histogram.sum())
        case FuseAnswer() if isinstance(question, FuseQuestion) and question.step == "heads":
            cells = _heads(study, question, answer)
        case FuseAnswer():
            cells = _named(answer.sums, "count") + _named(answer.sums, "histogram")
        case CalibrateAnswer():
            cells = _counted("its histograms", answer.histograms.sum(axis=(1, 2)))
            cells += _counted("its sums within the site", answer.within[:, 2])
        case CompareAnswer():
            cells = _named(answer.sums, "count")
            cells += _counted("its histograms", answer.histograms.sum(axis=(1, 2)))
            cells += _counted("its sums within the site", answer.within[:, 2])
        case ValidateAnswer() if answer.subgroups:
            cells = [Cell(what, size) for what, size in counted_in(answer)]
        case ValidateAnswer():
            by_class = answer.placements.get("counts", answer.histograms.sum(axis=2))
            cells = [Cell("a class", int(one), False) for one in np.ravel(by_class)]
            cells += [
                Cell("a segment of a class", int(one))
                for one in np.ravel(answer.attention.get("seen", []))
            ]
            cells += [
                Cell("a class", int(one), False) for one in answer.attention.get("classes", [])
            ]
    return cells


def behind(study: Study, question: Question, own: Patients) -> list[Cell]:
    """List the cells of the sums that a question asks for, by the site's own counts.

    Sums over the training patients of several folds tell, by their differences, sums over the
    validation patients, so these count too.
    """
    every = range(study.folds)
    held_out = Cell("all validation patients", sum(own.validating))
    match question:
        case HarmonizeQuestion(step="reproducibility"):
            cells = _paired(own, validates=study.folds > 1)
        case HarmonizeQuestion():
            cells = _of_folds(own, every, validates=study.folds > 1)
            if question.step == "covariates":
                cells += [
                    Cell(f"those whose {name} is known, in fold {fold}", one)
                    for name, counts in own.observed.items()
                    for fold, one in enumerate(counts)
                ]
        case SearchQuestion():
            cells = _of_folds(own, [FOLD])
        case TrainQuestion():
            cells = _of_folds(own, [question.fold])
        case FuseQuestion(step="moments") | CompareQuestion(step="fit") | CardQuestion(step="sums"):
            cells = _of_folds(own, every)
        case FuseQuestion(step="heads"):
            asked = {fold for fold, _ in problem_sizes(study, question.problems)}
            cells = _of_folds(own, sorted(asked))
        case FuseQuestion() | CalibrateQuestion() | CompareQuestion() | CardQuestion():
            cells = [held_out]
        case _:
            # Enrolment and validation, of all patients.
            names = ("the negative class", "the positive class")
            cells = [Cell(name, one, False) for name, one in zip(names, own.classes, strict=True)]
    return cells


def _paired(own: Patients, *, validates: bool) -> list[Cell]:
    """List the patients with two masks behind the sums of each fold."""
    parts = ("training", "validation") if validates else ("training",)
    return [
        Cell(f"two masks, {part} in fold {fold}", one)
        for fold, counts in enumerate(own.paired)
        for part, one in zip(parts, counts, strict=False)
    ]


def _of_folds(own: Patients, folds: Iterable[int], *, validates: bool = True) -> list[Cell]:
    cells: list[Cell] = []
    for fold in folds:
        cells.append(Cell(f"training in fold {fold}", own.training[fold]))
        if validates:
            cells.append(Cell(f"validation in fold {fold}", own.validating[fold]))
    return cells


def _counted(what: str, counts: object) -> list[Cell]:
    return [Cell(what, int(one)) for one in np.asarray(counts, np.float64).ravel()]


def _named(sums: Arrays, ending: str) -> list[Cell]:
    """Take the arrays of that name: counts as they are, a histogram as its sum."""
    cells: list[Cell] = []
    for name, array in sums.items():
        if name.rpartition(".")[2] == ending:
            cells += _counted(name, np.sum(array) if ending == "histogram" else array)
    return cells


def _heads(study: Study, question: FuseQuestion, answer: FuseAnswer) -> list[Cell]:
    """Rows weigh at least as much as the lighter class, so their weight bounds their number."""
    weights = _weights(question, study.folds)
    cells: list[Cell] = []
    for fold, number in problem_sizes(study, question.problems):
        for name in ("weights", "validation"):
            own = np.asarray(answer.sums[f"{fold}.{number}.{name}"], np.float64)
            heavy = own if name == "weights" else own[:, 1]
            cells += _counted(f"{name} of {VARIANTS[number]}", np.rint(heavy / weights[fold].min()))
    return cells


def _weights(question: FuseQuestion, folds: int) -> Weights:
    found = np.asarray(question.problems.get("class_weights", np.zeros(0)), np.float64)
    if found.shape != (folds, 2) or not np.isfinite(found).all() or not (found > 0.0).all():
        raise refuse("the question has no weight for each class")
    return found
