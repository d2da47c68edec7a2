"""Train: measure the received network on validation patients, then train it for local epochs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from client.cohort.folds import seed_of
from client.context import SiteContext
from client.network.slices import Slices
from client.scoring import network_measure
from common.errors import RunError
from common.messages import TrainAnswer, TrainQuestion
from common.study_tables import Training
from common.update import longest_change, moved_by, share_of_change


def answer(question: TrainQuestion, context: SiteContext) -> TrainAnswer:
    """Answer one round of one fold.

    Raises
    ------
    RunError
        The site is external: it never trains.
    """
    from client.network.inference import look
    from client.network.local_training import train_locally

    if context.external:
        raise RunError(
            f"Site {context.site.name} is external and was asked to train.",
            "The coordinator must not ask external sites to train.",
        )
    rows, study = context.rows, context.study
    validates, trains = rows.validates(question.fold), rows.trains(question.fold)
    held_out = Slices(rows.images[validates], rows.masks[validates], rows.labels[validates])
    logits = look(question.weights, held_out, study.cnn).logits
    validation, histogram = network_measure(
        rows, logits, question.fold, question.class_weights, study.fusion.patient_score
    )
    result = train_locally(
        question.weights,
        Slices(rows.images[trains], rows.masks[trains], rows.labels[trains]),
        study.cnn,
        study.training,
        study.training.local_epochs,
        question.class_weights,
        study.training.proximal_mu if study.training.strategy == "fedprox" else 0.0,
        seed_of(study.seed, rows.site, "train", question.fold, question.round),
    )
    slices = int(trains.sum())
    change = share_of_change(result.weights, question.weights, slices / question.slices)
    _require_plausible(change, slices, question, study.training)
    return TrainAnswer(
        slices=slices,
        patients=int(np.unique(rows.patient[trains]).size),
        loss=result.loss * slices,
        change=change,
        validation=validation,
        histogram=histogram,
    )


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
    # False for NaN.
    if not moved <= longest * (1.0 + 1e-6):
        raise RunError(
            f"Training in fold {question.fold}, round {question.round} moved the weights by "
            f"{moved:.3g}; {slices} slices can move them by {longest:.3g} at most.",
            "Look at the site's images and at the learning rate: the loss is probably not finite.",
        )
