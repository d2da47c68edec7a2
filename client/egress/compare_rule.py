"""The answers of the comparison: their layout follows from what the question asks to be summed.

So the question is held against the study first: classifiers, numbers of features, trees and nodes
must be such as the study fits.
"""

from __future__ import annotations

import numpy as np

from client.egress.form import Form, Forms
from client.egress.refused import refuse
from common.classifiers.registry import classifiers_of
from common.heads import below
from common.messages import Arrays, CompareQuestion
from common.statistics.checks import StatisticsError
from common.statistics.scores import BINS
from common.study import Study

_NONE = {"histograms": Form("int64", (0, 2, BINS)), "within": Form("float64", (0, 3))}


def fit_forms(study: Study, question: CompareQuestion, features: int) -> Forms:
    """Give the forms of the sums for the classifiers of a question.

    Parameters
    ----------
    features
        q, radiomic and deep.

    Raises
    ------
    EgressRefused
        The question asks for something that the study does not fit.
    """
    weights = np.asarray(question.selected.get("class_weights", np.zeros(0)), np.float64)
    if weights.shape != (study.folds, 2) or not (weights > 0.0).all():
        raise refuse("the question has no weight for each class")
    forms = dict(_NONE)
    known: set[str] = set()
    for fold in range(study.folds):
        size = _selected(study, question.selected, fold, features)
        forms[f"sums/{fold}.count"] = Form("int64", ())
        for name, classifier in classifiers_of(study).items():
            asked = below(question.fits, f"{fold}.{name}")
            if not asked:
                continue
            known.update(f"{fold}.{name}.{key}" for key in asked)
            try:
                shapes = classifier.shapes(asked, size)
            except StatisticsError as error:
                raise refuse(error.what) from None
            forms |= {
                f"sums/{fold}.{name}.{key}": Form("float64", shape) for key, shape in shapes.items()
            }
    if not known or set(question.fits) != known:
        raise refuse("the question asks for classifiers that the study has not")
    return forms


def compared_forms(study: Study) -> Forms:
    """Give the forms of the validation patients' scores."""
    models = len(study.comparison.classifiers)
    return {
        "histograms": Form("int64", (models, 2, BINS)),
        "within": Form("float64", (models, 3)),
    }


def _selected(study: Study, selected: Arrays, fold: int, features: int) -> int:
    """Give the number of features of a fold; those of both heads, so twice the largest at most."""
    own = below(selected, str(fold))
    if set(own) != {"features", "center", "scale"} or own["features"].ndim != 1:
        raise refuse(f"the question does not say which features are selected in fold {fold}")
    whole = own["features"].dtype.kind in "iu"
    chosen = np.asarray(own["features"], np.int64)
    size = chosen.size
    fits = whole and bool(((chosen >= 0) & (chosen < features)).all())
    fits = fits and size <= 2 * max(study.fusion.sizes) and np.unique(chosen).size == size
    fits = fits and own["center"].shape == own["scale"].shape == (size,)
    if not fits:
        raise refuse("the question selects features that the study does not")
    return int(size)
