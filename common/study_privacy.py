"""The table `[privacy]` of a study: how much of one patient may show in what the study makes.

The unit is the patient with all slices. Two cohorts are neighbours when one has a patient that the
other lacks; epsilon and delta bound, in the sense of Dwork & Roth (Found Trends Theor Comput Sci
2014;9:211-407), how differently everything that is covered may come out over the two.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from common.feature_names import all_names
from common.study_tables import Count, Positive, Section

Number = Annotated[float, Field(strict=True)]


class Privacy(Section):
    """Differential privacy of a training patient; with `epsilon` 0 there is none.

    `covers` says of what: ``everything`` that leaves a training site after it enrolled, or the
    ``network`` alone; then the sums of the other stages are exact, and only hidden in their totals.
    Numbers of patients and slices at enrolment are exact in both.

    `limit` is the most that a patient may have spent over all studies of its site, this one
    included; 0 stands for `epsilon`, so that a patient is in one such study only.

    Plain gradient descent at a rate near 1 suits the head. With more layers a step of it would
    drown the weights in noise: take ``adam``, which moves no weight by more than about the rate.

    Noise grows with the number of features, so with ``everything`` a study names the few radiomics
    that it uses, each with bounds that are known beforehand: never taken from the patients' images.
    """

    epsilon: float = Field(0.0, ge=0.0, strict=True)
    delta: float = Field(1e-4, gt=0.0, lt=1.0, strict=True)
    limit: float = Field(0.0, ge=0.0, strict=True)
    covers: Literal["everything", "network"] = "everything"
    trained: Literal["head", "dense", "all"] = "head"
    steps: Count = 1
    sampling_rate: float = Field(1.0, gt=0.0, le=1.0, strict=True)
    clip: Positive = 1.0
    optimizer: Literal["sgd", "adam"] = "sgd"
    learning_rate: Positive = 1.0
    network_share: Positive = 0.4
    sums_share: Positive = 0.4
    scores_share: Positive = 0.2
    features: dict[str, tuple[Number, Number]] = Field(default_factory=dict)

    @property
    def on(self) -> bool:
        """Whether anything is covered."""
        return self.epsilon > 0.0

    @property
    def everything(self) -> bool:
        """Whether all that leaves a training site after enrolment is covered."""
        return self.on and self.covers == "everything"

    @property
    def most(self) -> float:
        """Epsilon that a patient may have spent over all studies of its site."""
        return self.limit or self.epsilon

    @field_validator("features")
    @classmethod
    def _order_says_nothing(
        cls, features: dict[str, tuple[float, float]]
    ) -> dict[str, tuple[float, float]]:
        # They are columns of arrays, and a study has one fingerprint however it lists them.
        return dict(sorted(features.items()))

    @model_validator(mode="after")
    def _features_are_bounded(self) -> Privacy:
        unknown = [name for name in self.features if name not in set(all_names())]
        if unknown:
            raise ValueError(f"features: there is no radiomic feature {', '.join(unknown)}")
        for name, (low, high) in self.features.items():
            if not low < high or not math.isfinite(high - low):
                raise ValueError(f"features.{name}: {low:g} is not below {high:g}")
        if 0.0 < self.limit < self.epsilon:
            raise ValueError(
                f"limit: {self.limit:g} over all studies is less than the epsilon of this one, "
                f"{self.epsilon:g}"
            )
        if self.features and not self.everything:
            raise ValueError(
                "features: only a study whose privacy covers everything is limited to some"
            )
        if self.everything and len(self.features) < 2:
            raise ValueError(
                "features: privacy that covers everything needs two or more named radiomics with "
                "their bounds; noise over all 939 would leave nothing. Name them, or set covers to "
                "'network'"
            )
        return self
