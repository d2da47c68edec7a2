"""Train: measure the received network on validation patients, then train it for local epochs."""

from __future__ import annotations

import numpy as np

from client.cohort.folds import seed_of
from client.context import SiteContext
from client.network.slices import Slices
from client.scoring import network_measure
from common.errors import RunError
from common.messages import TrainAnswer, TrainQuestion


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
    return TrainAnswer(
        slices=int(trains.sum()),
        patients=int(np.unique(rows.patient[trains]).size),
        loss=result.loss,
        weights=result.weights,
        validation=validation,
        histogram=histogram,
    )
