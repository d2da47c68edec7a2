"""The table `[comparison]` of a study: which classifiers are fitted on the fused features, and how.

Their settings are fixed before any patient is seen. What is not named in `classifiers` is not
fitted, and with none of them, the default, nothing is asked and nothing leaves.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from common.study_tables import Positive, Section

ClassifierName = Literal["logistic", "svm", "perceptron", "forest", "boosting"]

OF_TREES = frozenset({"forest", "boosting"})
"""Classifiers whose sums are over the nodes of trees."""


class Logistic(Section):
    """L1 logistic regression; `inverse_penalty` is what scikit-learn calls C."""

    inverse_penalty: Positive = 0.1


class Svm(Section):
    """Linear support vector machine, squared hinge loss; `inverse_penalty` is LinearSVC's C."""

    inverse_penalty: Positive = 0.01


class Perceptron(Section):
    """One hidden layer of tanh units, by so many steps of Adam on the gradient over all rows.

    `penalty` is half of the factor of the squared weights, over the mean loss.
    """

    hidden: int = Field(8, ge=1, le=256, strict=True)
    rounds: int = Field(40, ge=1, le=1000, strict=True)
    learning_rate: Positive = 0.03
    penalty: Positive = 0.01


class Forest(Section):
    """Trees of all patients, each node choosing among the square root of all features."""

    trees: int = Field(100, ge=1, le=1000, strict=True)
    depth: int = Field(4, ge=1, le=8, strict=True)


class Boosting(Section):
    """Gradient boosting of the logistic loss; `penalty` is XGBoost's lambda, of leaf values."""

    trees: int = Field(20, ge=1, le=500, strict=True)
    depth: int = Field(2, ge=1, le=4, strict=True)
    learning_rate: float = Field(0.3, gt=0.0, le=1.0, strict=True)
    penalty: Positive = 1.0


class Comparison(Section):
    """Classifiers on the features that the fused heads selected, to be compared with each other.

    `bins` is the number of steps in which trees see a feature, the same for all features.
    """

    classifiers: tuple[ClassifierName, ...] = ()
    bins: int = Field(16, ge=2, le=64, strict=True)
    logistic: Logistic = Logistic()
    svm: Svm = Svm()
    perceptron: Perceptron = Perceptron()
    forest: Forest = Forest()
    boosting: Boosting = Boosting()

    @model_validator(mode="after")
    def _named_once(self) -> Comparison:
        if len(set(self.classifiers)) < len(self.classifiers):
            raise ValueError("classifiers: one is named twice")
        return self

    @property
    def on(self) -> bool:
        """Whether anything is compared."""
        return bool(self.classifiers)

    @property
    def trees(self) -> list[str]:
        """Those of the named classifiers that are made of trees."""
        return [name for name in self.classifiers if name in OF_TREES]

    def most_rounds(self, newton: int) -> int:
        """Bound the questions that fit them all, where Newton's method may take `newton` rounds."""
        rounds = {
            "logistic": newton,
            "svm": newton,
            "perceptron": self.perceptron.rounds,
            "forest": self.forest.depth,
            "boosting": self.boosting.trees * self.boosting.depth,
        }
        return max((rounds[name] for name in self.classifiers), default=0)
