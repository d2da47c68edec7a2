"""Which classifiers a study compares."""

from __future__ import annotations

from common.classifiers.linear import LassoLogistic, SupportVectors
from common.classifiers.perceptron import MultilayerPerceptron
from common.classifiers.protocol import Classifier
from common.classifiers.trees import GradientBoosting, RandomForest
from common.study import Study


def classifiers_of(study: Study) -> dict[str, Classifier]:
    """Give the classifiers that the study names, in its order, with its settings."""
    own, seed = study.comparison, study.seed
    # No leaf says anything of fewer patients than the study's minimum.
    least = study.cohort.minimum_patients_per_class
    every: dict[str, Classifier] = {
        "logistic": LassoLogistic(own.logistic.inverse_penalty),
        "svm": SupportVectors(own.svm.inverse_penalty),
        "perceptron": MultilayerPerceptron(own.perceptron, seed),
        "forest": RandomForest(own.bins, least, seed, own.forest),
        "boosting": GradientBoosting(own.bins, least, seed, own.boosting),
    }
    return {name: every[name] for name in own.classifiers}
