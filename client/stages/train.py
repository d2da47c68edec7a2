"""Train: measure the received network on validation patients, then train it for local epochs."""

from __future__ import annotations

import numpy as np

from client.cohort.folds import seed_of
from client.context import SiteContext
from client.network.slices import Slices
from client.scoring import patient_scores, weighted_loss
from common.errors import RunError
from common.heads import probability
from common.messages import TrainAnswer, TrainQuestion
from common.statistics.scores import score_histogram


def answer(question: TrainQuestion, context: SiteContext) -> TrainAnswer:
    """Answer one round of one fold.

    Raises
    ------
    RunError
        The site is external: it never trains.
    """
    from client.network.inference import look
    from client.network.local_training import LocalResult, train_locally

    if context.external:
        raise RunError(
            f"Site {context.site.name} is external and was asked to train.",
            "The coordinator must not ask external sites to train.",
        )
    rows, study = context.rows, context.study
    validates, trains = rows.validates(question.fold), rows.trains(question.fold)
    held_out = Slices(rows.images[validates], rows.masks[validates], rows.labels[validates])
    logits = look(question.weights, held_out, study.cnn).logits
    scores = patient_scores(
        probability(logits)[None],
        rows.patient[validates],
        len(rows.patient_ids),
        study.fusion.patient_score,
    )[0]
    seen = np.isfinite(scores)
    result = LocalResult(question.weights, 0.0)
    if question.epochs > 0:
        result = train_locally(
            question.weights,
            Slices(rows.images[trains], rows.masks[trains], rows.labels[trains]),
            study.cnn,
            study.training,
            question.epochs,
            question.class_weights,
            question.proximal_mu,
            seed_of(study.seed, rows.site, "train", question.fold, question.round),
        )
    return TrainAnswer(
        slices=int(trains.sum()),
        patients=int(np.unique(rows.patient[trains]).size),
        loss=result.loss,
        weights=result.weights,
        validation=weighted_loss(logits, held_out.labels, question.class_weights),
        histogram=score_histogram(scores[seen], rows.patient_labels[seen]),
    )
