"""A round of 8 bits, the coordinator's half: weights as they are sent, answers as they are read.

Everything else of a round works on weights and changes of float32, whether they travelled so or
not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from common.coarse import TOP, change_of, coarsened, most_levels, step_of
from common.messages import EnrolAnswer, TrainAnswer, TrainQuestion
from common.study import Study
from common.study_tables import Training
from server.firewall import require
from server.total import Check

Judge = Callable[[Mapping[str, TrainAnswer]], dict[str, str]]


@dataclass(frozen=True)
class CoarseRound:
    """A question with the coordinator's own weights, and the training and the study it is of."""

    exact: TrainQuestion
    training: Training
    study: Study

    def question(self) -> TrainQuestion:
        """Give the question as it is sent."""
        levels, scales = coarsened(self.exact.weights)
        none = np.zeros(0, np.float32)
        return replace(self.exact, weights=none, levels=levels, scales=scales)

    def read(self, answer: TrainAnswer) -> TrainAnswer:
        """Give an answer, or a sum of them, with its change as float32."""
        change = change_of(answer.levels, self._step())
        return replace(answer, change=change, levels=np.zeros(0, np.int8))

    def checked(self, check: Check[TrainAnswer]) -> Check[TrainAnswer]:
        """Require levels within a site's part of the range before the rest is checked."""

        def both(own: EnrolAnswer, answer: TrainAnswer) -> None:
            require(answer.change.size == 0, "its change is not in levels")
            require(answer.levels.shape == self.exact.weights.shape, "its levels are not all there")
            reach = max(int(answer.levels.max(initial=0)), -int(answer.levels.min(initial=0)))
            require(reach <= self._most(own, answer), "its levels are beyond its part of the range")
            check(own, self.read(answer))

        return both

    def judged(self, judge: Judge) -> Judge:
        """Compare answers by their changes as float32, one at a time."""
        return lambda answers: judge(_Read(answers, self.read))

    def _step(self) -> float:
        return step_of(self.training, self.exact.slices, len(self.study.training_sites))

    def _most(self, own: EnrolAnswer, answer: TrainAnswer) -> int:
        if self.study.secure_sum.enabled:
            return TOP
        share = min(answer.slices, own.slices) / self.exact.slices
        return most_levels(share, len(self.study.training_sites))


class _Read(Mapping[str, TrainAnswer]):
    """Answers by site, each read when it is looked at, so that they are not in memory together."""

    def __init__(
        self, answers: Mapping[str, TrainAnswer], read: Callable[[TrainAnswer], TrainAnswer]
    ) -> None:
        self._answers, self._read = answers, read

    def __getitem__(self, site: str) -> TrainAnswer:
        return self._read(self._answers[site])

    def __iter__(self) -> Iterator[str]:
        return iter(self._answers)

    def __len__(self) -> int:
        return len(self._answers)
