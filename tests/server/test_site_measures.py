"""What the run's events say of single sites: where answers are seen anyway, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest
from coordinator_samples import enrolled, make_study, trained
from sklearn.metrics import roc_auc_score

from server.firewall import Implausible
from server.stages.site_measures import SiteMeasures, measures

RNG = np.random.default_rng(7)


def test_auc_and_loss_are_those_of_the_answer() -> None:
    scores = RNG.integers(0, 1001, 60)
    labels = RNG.integers(0, 2, 60)
    histogram = np.zeros((2, 1001), np.int64)
    for score, label in zip(scores, labels, strict=True):
        histogram[label, score] += 1
    answer = trained(np.zeros(3), slices=40, loss=0.25, histogram=histogram,
                     validation=np.array([3.0, 4.0]))  # fmt: skip
    found = measures(answer)
    assert found["validation_auc"] == pytest.approx(roc_auc_score(labels, scores), abs=5e-5)
    assert found["validation_loss"] == pytest.approx(0.75)
    assert found["training_loss"] == pytest.approx(answer.loss / 40)


def test_a_site_without_validation_patients_has_no_auc() -> None:
    found = measures(trained(np.zeros(3), validation=np.zeros(2)))
    assert found["validation_auc"] is None
    assert found["validation_loss"] is None


def test_what_the_firewall_refuses_is_not_told() -> None:
    study = make_study()

    def refuse(own: object, answer: object) -> None:
        raise Implausible("its loss is not a loss")

    noting = SiteMeasures(study)
    with pytest.raises(Implausible):
        noting.noting(refuse)(enrolled("a", study), trained(np.zeros(3)))
    assert noting.as_event() == {}
    noting.noting(lambda own, answer: None)(enrolled("a", study), trained(np.zeros(3)))
    assert list(noting.as_event()["sites"]) == ["a"]


def test_under_masks_nothing_is_noted() -> None:
    study = make_study(("a", "b", "c"), secure_sum={"enabled": True})
    noting = SiteMeasures(study)
    noting.noting(lambda own, answer: None)(enrolled("a", study), trained(np.zeros(3)))
    assert noting.as_event() == {}
