"""One phantom hospital as a site folder, and questions to it in their envelopes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from flwr.app import RecordDict

from client.cohort.importers import import_table
from client.identity_key import make_identity
from client.phantoms.consortium import DEFAULT, make_consortium
from common.cnn import initial_weights
from common.course import exchange_of
from common.messages import EnrolQuestion, HarmonizeQuestion, Question, TrainQuestion
from common.records import Envelope, sealed, to_record
from common.study import Study

NAME = "aldgate"


def tiny_study(name: str = "tiny", epochs: int = 1) -> Study:
    return Study.model_validate(
        {
            "name": name,
            "folds": 2,
            "sites": [{"name": NAME, "role": "train"}, {"name": "dorpat", "role": "external"}],
            "cohort": {"minimum_patients_per_class": 2},
            "cnn": {"width": 0.02},
            "secure_sum": {"enabled": False},
            "training": {"rounds": 1, "averaged_rounds": 1, "local_epochs": epochs},
        }
    )


def make_site(folder: Path) -> Path:
    site = next(one for one in DEFAULT if one.name == NAME)
    (table,) = make_consortium(folder / "phantoms", 3, 8, [site], slices=1)
    import_table(table, folder / NAME, name=NAME, positive="scar", negative="none", myocardium=2)
    make_identity(folder / NAME)
    return folder / NAME


def questions(study: Study) -> list[Question]:
    means = {str(fold): np.zeros(0) for fold in range(study.folds)}
    weights = initial_weights(study.cnn.width, 0.5, 128, 1)
    return [
        EnrolQuestion(study.fingerprint),
        HarmonizeQuestion(study.fingerprint, "features", means),
        TrainQuestion(study.fingerprint, 0, 1, 20, np.ones(2), weights),
    ]


def in_envelope(question: Question, run: str = "run-1") -> RecordDict:
    return sealed(to_record(question), Envelope(run, exchange_of(question)))
