"""Train: measure the received network on validation patients, then train it for local epochs."""

from __future__ import annotations

import logging
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from client.cohort.folds import seed_of
from client.context import SiteContext
from client.network.slices import Slices
from client.scoring import network_measure
from client.stages.coarse import told, with_weights
from common.errors import RunError
from common.messages import SearchQuestion, TrainAnswer, TrainQuestion
from common.study_tables import Training
from common.trials import Settings, settings_of
from common.update import longest_change, moved_by, share_of_change

if TYPE_CHECKING:
    from client.network.local_training import LocalResult


def answer(question: TrainQuestion, context: SiteContext) -> TrainAnswer:
    """Answer one round of one fold.

    Raises
    ------
    RunError
        The site is external: it never trains.
    """
    rows, study, fold = context.rows, context.study, question.fold
    settings = settings_of(study, question.trial)
    question = with_weights(question, settings.training)
    logits = held_out_logits(question.weights, context, settings, fold)
    validation, histogram = network_measure(
        rows, logits, fold, question.class_weights, study.fusion.patient_score
    )
    seed = seed_of(study.seed, rows.site, "train", fold, question.round)
    result = trained(question, context, settings, fold, seed)
    trains = rows.trains(fold)
    slices = int(trains.sum())
    change = share_of_change(result.weights, question.weights, slices / question.slices)
    _require_plausible(change, slices, question, settings.training)
    levels = np.zeros(0, np.int8)
    if settings.training.transfer == "int8":
        levels = told(change, slices, question, settings.training, context)
        change = np.zeros(0, np.float32)
    return TrainAnswer(
        slices=slices,
        patients=int(np.unique(rows.patient[trains]).size),
        loss=result.loss * slices,
        change=change,
        validation=validation,
        histogram=histogram,
        levels=levels,
    )


def held_out_logits(
    weights: NDArray[np.float32], context: SiteContext, settings: Settings, fold: int
) -> NDArray[np.float64]:
    """Score the slices of a fold's validation patients by a network: logits (n,)."""
    from client.network.inference import look

    rows, validates = context.rows, context.rows.validates(fold)
    held_out = Slices(rows.images[validates], rows.masks[validates], rows.labels[validates])
    return look(weights, held_out, settings.cnn).logits


def trained(
    question: TrainQuestion | SearchQuestion,
    context: SiteContext,
    settings: Settings,
    fold: int,
    seed: int,
) -> LocalResult:
    """Train the received network on the slices of a fold's training patients.

    Raises
    ------
    RunError
        The site is external: it never trains.
    """
    from client.network.device import in_words, own_device
    from client.network.local_training import train_locally

    if context.external:
        raise RunError(
            f"Site {context.site.name} is external and was asked to train.",
            "The coordinator must not ask external sites to train.",
        )
    rows, trains, training = context.rows, context.rows.trains(fold), settings.training
    say_once(context.site.name, context.run, in_words(own_device(), training.precision))
    return train_locally(
        question.weights,
        Slices(rows.images[trains], rows.masks[trains], rows.labels[trains]),
        settings.cnn,
        training,
        training.local_epochs,
        question.class_weights,
        training.proximal_mu if training.strategy == "fedprox" else 0.0,
        seed,
    )


@lru_cache(maxsize=64)
def say_once(site: str, run: str, where: str) -> None:
    """Write into the site's log where a run's network is trained; not again at each round."""
    logging.getLogger(f"myofed.site.{site}").info("%s: training on %s.", run, where)


def _require_plausible(
    change: NDArray[np.float32], slices: int, question: TrainQuestion, training: Training
) -> None:
    """See for oneself what the coordinator cannot: under masks it does not know whose fault it is.

    Raises
    ------
    RunError
        The weights are not finite, or have moved further than training can move them.
    """
    moved = moved_by(change, slices, question.slices)
    longest = longest_change(change.size, slices, training)
    if not is_plausible(change, slices, question.slices, training):
        raise RunError(
            f"Training in fold {question.fold}, round {question.round} moved the weights by "
            f"{moved:.3g}; {slices} slices can move them by {longest:.3g} at most.",
            "Look at the site's images and at the learning rate: the loss is probably not finite.",
        )


def is_plausible(change: NDArray[np.float32], slices: int, of_all: int, training: Training) -> bool:
    """Say whether so much training can have made this change; not of numbers that are not finite.

    Parameters
    ----------
    change
        Of the weights, times the share that `slices` are `of_all`.
    """
    longest = longest_change(change.size, slices, training)
    # False for NaN.
    return moved_by(change, slices, of_all) <= longest * (1.0 + 1e-6)
