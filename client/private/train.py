"""Train with each patient hidden by noise: nothing leaves of the site but the noisy change.

How the network does on validation patients is not measured round for round: it would cost more of
the budget than the training itself. Sites reckon their shares by the patients that they enrolled,
which are public; a fold's slices would tell of its patients.
"""

from __future__ import annotations

import numpy as np

from client.context import SiteContext
from client.private.spending import spend
from common.errors import RunError
from common.messages import TrainAnswer, TrainQuestion
from common.privacy.of_study import noise_of, training_share
from common.statistics.scores import BINS
from common.update import longest_private_change, moved_by, share_of_change


def answer(question: TrainQuestion, context: SiteContext) -> TrainAnswer:
    """Answer one round of one fold.

    Raises
    ------
    BudgetSpent
        The patients' budget does not allow it.
    """
    from client.network.slices import Slices
    from client.private.question import PrivateQuestion, PrivateSteps
    from client.private.training import train_privately

    rows, study, fold = context.rows, context.study, question.fold
    privacy, patients = study.privacy, rows.patient_labels.size
    noise = noise_of(study).network
    trains = rows.trains(fold)
    asked = PrivateQuestion(
        weights=question.weights,
        slices=Slices(rows.images[trains], rows.masks[trains], rows.labels[trains]),
        patient=rows.patient[trains],
        cnn=study.cnn,
        how=PrivateSteps(
            steps=privacy.steps,
            sampling_rate=privacy.sampling_rate,
            expected_patients=patients * training_share(study) * privacy.sampling_rate,
            noise_multiplier=noise,
            clip=privacy.clip,
            learning_rate=privacy.learning_rate,
            optimizer=privacy.optimizer,
            augmentation=study.training.augmentation,
            trained=privacy.trained,
        ),
        class_weights=question.class_weights,
        proximal_mu=study.training.proximal_mu if study.training.strategy == "fedprox" else 0.0,
        place=f"{study.fingerprint}/train/fold {fold}/round {question.round}",
    )
    secret = spend(
        context,
        asked.subject,
        f"weights of fold {fold}, round {question.round}",
        "weights",
        noise,
        sampling_rate=privacy.sampling_rate,
        steps=privacy.steps,
        fold=fold,
        touches="training",
    )
    result = train_privately(asked, secret)
    change = share_of_change(result.weights, question.weights, patients / question.slices)
    longest = longest_private_change(change.size, patients, study, noise)
    if not moved_by(change, patients, question.slices) <= longest:
        raise RunError(
            f"Private training in fold {fold}, round {question.round} moved the weights further "
            "than it can.",
            "Look at the site's images and at privacy.learning_rate.",
        )
    return TrainAnswer(
        slices=patients,
        patients=patients,
        loss=0.0,
        change=change,
        validation=np.zeros(2),
        histogram=np.zeros((2, BINS), dtype=np.int64),
    )
