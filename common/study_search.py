"""The table `[search]` of a study: which networks are tried before one is trained, and how long."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from common.hyperband import Rung, cheapest, schedule
from common.study_tables import Section

Width = Annotated[float, Field(gt=0.0, le=2.0, strict=True)]
Rate = Annotated[float, Field(gt=0.0, le=0.1, strict=True)]
Dropout = Annotated[float, Field(ge=0.0, lt=1.0, strict=True)]


class Search(Section):
    """Width, learning rate and dropout of the network, by hyperband over federated rounds.

    A trial is one choice of the three out of `widths`, `learning_rates` and `dropouts`; which one
    follows from its number, the study's seed and `seed` (`common.trials`). `most_rounds` is how
    long a trial is trained at most, of `eta` trials one goes on, and `budget` bounds the rounds of
    all trials together. A budget of 0 searches nothing: the network is then that of `[cnn]` and
    `[training]`.
    """

    budget: int = Field(0, ge=0, strict=True)
    most_rounds: int = Field(9, ge=1, le=1000, strict=True)
    eta: int = Field(3, ge=2, le=10, strict=True)
    widths: tuple[Width, ...] = Field((0.125, 0.25), min_length=1)
    learning_rates: tuple[Rate, ...] = Field((2e-4, 5e-4, 1e-3), min_length=1)
    dropouts: tuple[Dropout, ...] = Field((0.3, 0.5), min_length=1)
    seed: int = Field(0, ge=0, lt=2**31, strict=True)

    @property
    def on(self) -> bool:
        """Whether anything is searched for."""
        return self.budget > 0

    @property
    def rungs(self) -> tuple[Rung, ...]:
        """All that is trained and measured, in its order; none without a search."""
        return schedule(self.most_rounds, self.eta, self.budget)

    @property
    def trials(self) -> int:
        """How many trials there are."""
        return max((rung.last for rung in self.rungs), default=0)

    @model_validator(mode="after")
    def _something_fits(self) -> Search:
        if self.on and not self.rungs:
            raise ValueError(
                f"budget: {self.budget} rounds are too few for any bracket of up to "
                f"{self.most_rounds} rounds a trial; the cheapest takes "
                f"{cheapest(self.most_rounds, self.eta)}"
            )
        return self
