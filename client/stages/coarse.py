"""Rounds of 8 bits, the site's half: weights as they are received, and the change as it is told."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from client.context import RunMemory, SiteContext
from common.coarse import levels_of, most_levels, refined, step_of
from common.errors import RunError
from common.messages import Arrays, TrainQuestion
from common.study_tables import Training


def with_weights(question: TrainQuestion, training: Training) -> TrainQuestion:
    """Give the question with its weights as float32, however they came.

    Raises
    ------
    RunError
        They did not come as the study says.
    """
    coarse = training.transfer == "int8"
    as_the_study_says = bool(question.levels.size) == coarse
    if not as_the_study_says or (coarse and question.weights.size):
        raise RunError(
            f"The weights did not come as training.transfer says, which is '{training.transfer}'.",
            "The coordinator does not follow the study. Speak to it before you go on.",
        )
    if not coarse:
        return question
    try:
        weights = refined(question.levels, question.scales)
    except ValueError as error:
        raise RunError(f"The weights that came cannot be read: {error}") from None
    return replace(question, weights=weights)


def told(
    change: NDArray[np.float32],
    slices: int,
    question: TrainQuestion,
    training: Training,
    context: SiteContext,
) -> NDArray[np.int8]:
    """Round the site's share of the change (n,) to levels, and carry over what is left.

    A question that is put again, for whatever reason, has the same answer: what was carried into
    its round is kept until the next.

    Parameters
    ----------
    slices
        Of the site.
    """
    sites = len(context.study.training_sites)
    step = step_of(training, question.slices, sites)
    carried = _carried_into(question, context.memory)
    wanted = change if carried is None else change + carried
    levels, left = levels_of(wanted, step, most_levels(slices / question.slices, sites))
    kept: Arrays = {"round": np.array([question.round]), "left": left}
    if carried is not None:
        kept["carried"] = carried
    context.memory.save(_name(question), kept)
    return levels


def _carried_into(question: TrainQuestion, memory: RunMemory) -> NDArray[np.float32] | None:
    """Give what earlier rounds of the fold left over (n,); None before the first."""
    if not memory.holds(_name(question)):
        return None
    kept = memory.load(_name(question))
    which = "carried" if int(kept["round"][0]) == question.round else "left"
    found = kept.get(which)
    return None if found is None else np.asarray(found, np.float32)


def _name(question: TrainQuestion) -> str:
    return f"left-over-{question.fold}"
