"""The settings of a study's network: its own, or those of a trial of its search.

A trial's settings follow from the study and the trial's number, so whoever knows the study knows
them: a question names the number, and carries no setting.
"""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import dataclass

from common.errors import RunError
from common.study import Study
from common.study_tables import Cnn, Training

OWN = 0
"""Stands for the study's own settings, in `[cnn]` and `[training]`."""
FOLD = 0
"""The fold whose training patients train the trials, and whose validation patients judge them."""


@dataclass(frozen=True)
class Settings:
    """How a network is built and trained: the study's sections, with a trial's numbers in them."""

    cnn: Cnn
    training: Training

    def numbers(self) -> dict[str, float]:
        """Give what a search varies, by name."""
        return {
            "width": self.cnn.width,
            "learning_rate": self.training.learning_rate,
            "dropout": self.cnn.dropout,
        }


def settings_of(study: Study, trial: int) -> Settings:
    """Give the settings of a trial, or with `OWN` the study's.

    Every combination is tried once before any is tried again. Their order is that of hashes, which
    are the same on every machine.

    Raises
    ------
    RunError
        The study has no such trial.
    """
    if trial == OWN:
        return Settings(study.cnn, study.training)
    search = study.search
    if not 1 <= trial <= search.trials:
        raise RunError(
            f"The study {study.name} has no trial {trial}: its search has {search.trials}.",
            "The coordinator does not follow the study, or the release is of another one.",
        )
    grid = list(itertools.product(search.widths, search.learning_rates, search.dropouts))
    cycle, place = divmod(trial - 1, len(grid))
    order = sorted(range(len(grid)), key=lambda k: _hash(study, cycle, k))
    width, rate, dropout = grid[order[place]]
    return Settings(
        study.cnn.model_copy(update={"width": width, "dropout": dropout}),
        study.training.model_copy(update={"learning_rate": rate}),
    )


def trains_by(study: Study, trial: int) -> bool:
    """Say whether the study's own networks may be trained by the settings of this trial."""
    return 1 <= trial <= study.search.trials if study.search.on else trial == OWN


def _hash(study: Study, cycle: int, place: int) -> str:
    text = f"{study.seed}/{study.search.seed}/trial/{cycle}/{place}"
    return hashlib.sha256(text.encode()).hexdigest()
