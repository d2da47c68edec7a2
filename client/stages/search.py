"""Search: train a trial's network for a round, or measure it on validation patients.

A trial may diverge, since a search tries out what nobody knows to be good. That is no fault of the
site: the trial then stays as it was, or has the loss of a network that is surely wrong, and others
do better.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from client.cohort.folds import seed_of
from client.context import SiteContext
from client.scoring import network_measure
from client.stages.train import held_out_logits, is_plausible, trained
from common.messages import SearchQuestion, TrainAnswer
from common.statistics.scores import BINS
from common.trials import FOLD, Settings, settings_of
from common.update import share_of_change

SURELY_WRONG = 1e3
"""A logit, and about the loss, of every slice where a network's own are not finite."""


def answer(question: SearchQuestion, context: SiteContext) -> TrainAnswer:
    """Answer the step ``train`` or ``measure``.

    Raises
    ------
    RunError
        The site is external, or the study has no such trial.
    """
    settings = settings_of(context.study, question.trial)
    if question.step == "measure":
        return _measured(question, context, settings)
    return _trained(question, context, settings)


def _measured(question: SearchQuestion, context: SiteContext, settings: Settings) -> TrainAnswer:
    rows = context.rows
    logits = held_out_logits(question.weights, context, settings, FOLD)
    validation, histogram = network_measure(
        rows,
        finite_or_wrong(logits, rows.labels[rows.validates(FOLD)]),
        FOLD,
        question.class_weights,
        context.study.fusion.patient_score,
    )
    nothing = np.zeros(0, np.float32)
    return TrainAnswer(0, 0, 0.0, nothing, validation, histogram)


def _trained(question: SearchQuestion, context: SiteContext, settings: Settings) -> TrainAnswer:
    rows, study = context.rows, context.study
    seed = seed_of(study.seed, rows.site, "trial", question.trial, question.round)
    with np.errstate(invalid="ignore", over="ignore"):
        result = trained(question, context, settings, FOLD, seed)
        trains = rows.trains(FOLD)
        slices = int(trains.sum())
        change = share_of_change(result.weights, question.weights, slices / question.slices)
        loss = result.loss * slices
        if not is_plausible(change, slices, question.slices, settings.training):
            change, loss = np.zeros_like(change), 0.0
    return TrainAnswer(
        slices=slices,
        patients=int(np.unique(rows.patient[trains]).size),
        loss=loss if np.isfinite(loss) else 0.0,
        change=change,
        validation=np.zeros(2),
        histogram=np.zeros((2, BINS), np.int64),
    )


def finite_or_wrong(logits: NDArray[np.float64], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Give logits (n,) back, or those of a surely wrong network if any is not finite."""
    if np.isfinite(logits).all():
        return logits
    return np.where(labels == 1, -SURELY_WRONG, SURELY_WRONG)
