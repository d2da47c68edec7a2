"""The worker: answers to approved questions, and refusals that say nothing of the data."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import ConfigRecord, RecordDict
from site_samples import RUN, hold, make_rows, make_study

from client.app import STAGE_NAMES
from client.context import RunMemory, SiteContext
from client.worker import worker as worker_module
from client.worker.worker import STAGES, Worker
from common.cnn import initial_weights
from common.course import exchange_of
from common.errors import CohortError, MyoFedError, RunError
from common.messages import (
    CalibrateQuestion,
    EnrolAnswer,
    EnrolQuestion,
    FuseQuestion,
    HarmonizeQuestion,
    Question,
    Refusal,
    TrainAnswer,
    TrainQuestion,
    ValidateQuestion,
)
from common.question_kinds import ANSWERS, QUESTIONS
from common.records import Envelope, from_answer, to_record
from common.release import FoldModel, folds_to_arrays
from harmonization import Reference

STUDY = make_study({"a": "train", "x": "external"})
ENVELOPE = Envelope(RUN, "enrol")
SECRET = "Patient P07-Smith in /data/hospital/P07.nii.gz"


@pytest.fixture
def site(tmp_path: Path) -> Worker:
    return Worker(hold(make_rows("a", STUDY, 1, patients=6, slices=2), STUDY, tmp_path))


@pytest.fixture
def outside(tmp_path: Path) -> Worker:
    return Worker(hold(make_rows("x", STUDY, 2, patients=6, slices=2), STUDY, tmp_path))


def ask(worker: Worker, question: Question) -> Any:
    envelope = Envelope(RUN, exchange_of(question))
    record = worker.ask(question.stage, to_record(question), envelope)
    return from_answer(ANSWERS[question.stage], record)


def train_question() -> TrainQuestion:
    weights = initial_weights(STUDY.cnn.width, 0.2, 128, 1)
    return TrainQuestion(STUDY.fingerprint, 0, 1, 30, np.array([0.7, 1.9]), weights)


def test_every_stage_has_its_question_answer_and_function() -> None:
    assert set(STAGES) == set(QUESTIONS) == set(ANSWERS) == set(STAGE_NAMES)


def test_enrolment_tells_counts_and_versions(site: Worker) -> None:
    answer = ask(site, EnrolQuestion(STUDY.fingerprint))
    assert isinstance(answer, EnrolAnswer)
    assert (answer.site, answer.fingerprint) == ("a", STUDY.fingerprint)
    assert (answer.positive, answer.negative, answer.slices) == (3, 3, 12)


def test_a_site_below_the_minimum_cell_tells_no_count(tmp_path: Path) -> None:
    study = make_study({"a": "train", "x": "external"}, cohort={"minimum_patients_per_class": 4})
    worker = Worker(hold(make_rows("a", study, 1, patients=6, slices=2), study, tmp_path))
    refusal = ask(worker, EnrolQuestion(study.fingerprint))
    assert isinstance(refusal, Refusal)
    assert refusal.code == "too-few-patients"
    assert not any(character.isdigit() for character in refusal.public)


def test_a_round_of_training_is_answered_and_is_the_same_again(site: Worker) -> None:
    first, second = (ask(site, train_question()) for _ in range(2))
    assert isinstance(first, TrainAnswer)
    rows = site.context.rows
    assert first.slices == rows.trains(0).sum()
    assert first.patients == (rows.folds != 0).sum()
    assert first.histogram.sum() == (rows.folds == 0).sum()
    assert first.change.tobytes() == second.change.tobytes()
    later = ask(site, replace(train_question(), round=2))
    assert later.change.tobytes() != first.change.tobytes()
    # Both measured the weights that they received, which are the same.
    assert later.validation.tobytes() == first.validation.tobytes()
    assert later.histogram.tobytes() == first.histogram.tobytes()
    assert later.loss > 0.0


def test_how_a_site_trains_is_what_its_study_says(tmp_path: Path) -> None:
    """Nothing in a question can make it train longer, or otherwise."""
    found = {}
    for name, training in {
        "fedavg": {"local_epochs": 2},
        "fedavg held": {"local_epochs": 2, "proximal_mu": 10.0},
        "fedprox held": {"local_epochs": 2, "strategy": "fedprox", "proximal_mu": 10.0},
        "longer": {"local_epochs": 4},
    }.items():
        study = make_study({"a": "train", "x": "external"}, training=training)
        rows = make_rows("a", study, 1, patients=6, slices=2)
        worker = Worker(hold(rows, study, tmp_path / name))
        question = replace(train_question(), fingerprint=study.fingerprint)
        found[name] = float(np.linalg.norm(ask(worker, question).change))
    assert found["fedavg"] == found["fedavg held"]
    assert found["fedprox held"] < found["fedavg"] < found["longer"]


def test_a_finished_network_is_measured_as_a_received_one(site: Worker) -> None:
    """The step ``moments`` tells of a fold's network what a round of training would."""
    question = train_question()
    rows = site.context.rows
    width = rows.features.shape[1]
    reference = Reference(
        np.zeros(width), np.zeros((0, width)), np.ones(width), np.ones(width, bool), 10
    )
    folds = [FoldModel(reference, np.zeros(0), question.weights)]
    balance = question.class_weights[None]
    model = folds_to_arrays(folds) | {"class_weights": 2 * balance, "network_weights": balance}
    trained = ask(site, question)
    found = ask(site, FuseQuestion(STUDY.fingerprint, "moments", model=model)).sums
    np.testing.assert_allclose(found["0.validation"], trained.validation, rtol=1e-6)
    np.testing.assert_array_equal(found["0.histogram"], trained.histogram)
    assert found["0.histogram"].sum() == (rows.folds == 0).sum()
    labels = rows.labels[rows.validates(0)]
    assert found["0.validation"][1] == pytest.approx(balance[0][labels].sum())


def refused(record: RecordDict, code: str) -> str:
    refusal = from_answer(EnrolAnswer, record)
    assert isinstance(refusal, Refusal)
    assert refusal.code == code
    assert set(record) == {"refusal"}
    assert set(record.config_records["refusal"]) == {"code", "public"}
    return refusal.public


def test_unknown_stages_other_studies_and_malformed_records_are_refused(site: Worker) -> None:
    record = to_record(EnrolQuestion(STUDY.fingerprint))
    extra = ConfigRecord({"fingerprint": STUDY.fingerprint, "give": "patients"})
    for stage, asked, code in [
        ("images", record, "wrong-use"),
        ("enrol", to_record(EnrolQuestion("0" * 64)), "study-mismatch"),
        ("train", record, "run-failed"),
        ("enrol", RecordDict({}), "run-failed"),
        ("enrol", RecordDict({"fields": extra, "arrays": record["arrays"]}), "run-failed"),
    ]:
        refused(site.ask(stage, asked, ENVELOPE), code)


def test_roles_are_kept_whatever_is_asked(site: Worker, outside: Worker) -> None:
    assert ask(outside, train_question()).code == "run-failed"
    for step in ("scores", "placements"):
        assert ask(site, ValidateQuestion(STUDY.fingerprint, step)).code == "run-failed"


def test_an_external_site_gives_no_training_sums(outside: Worker) -> None:
    """Labels of an external site must not enter a model, whoever asks."""
    means = {"0": np.zeros(0)}
    questions: list[Question] = [
        HarmonizeQuestion(STUDY.fingerprint, "features", means),
        FuseQuestion(STUDY.fingerprint, "moments"),
        FuseQuestion(STUDY.fingerprint, "heads"),
        CalibrateQuestion(STUDY.fingerprint, {}),
    ]
    for question in questions:
        assert isinstance(ask(outside, question), Refusal), question.stage


class Strange(Exception):
    """As some libraries have them: a code that is made of what was read."""

    def __init__(self) -> None:
        super().__init__(SECRET)
        self.code = SECRET


@pytest.mark.parametrize(
    "error",
    [
        ValueError(SECRET),
        KeyError(SECRET),
        OSError(2, SECRET),
        Strange(),
        CohortError(SECRET, SECRET),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_exception_in_a_stage_leaks_nothing(
    site: Worker, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(question: Any, context: SiteContext) -> None:
        raise error

    monkeypatch.setitem(worker_module.STAGES, "enrol", fail)
    record = site.ask("enrol", to_record(EnrolQuestion(STUDY.fingerprint)), ENVELOPE)
    code = CohortError.code if isinstance(error, CohortError) else "internal"
    public = refused(record, code)
    assert public in {MyoFedError.public, CohortError.public}
    text = str(record) + repr(record)
    for word in ("P07", "Smith", "/data", ".nii", type(error).__name__ + "("):
        assert word not in text


def test_an_answer_that_is_none_is_kept_back_by_the_guard(
    site: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(worker_module.STAGES, "enrol", lambda *_: {"patients": ["P07"]})
    question = to_record(EnrolQuestion(STUDY.fingerprint))
    refused(site.ask("enrol", question, ENVELOPE), "egress-refused")


def test_what_is_kept_comes_back_and_out_of_turn_is_an_error(tmp_path: Path) -> None:
    memory = RunMemory(tmp_path / "runs" / "one")
    with pytest.raises(RunError, match="Nothing is kept under 'features-0'"):
        memory.load("features-0")
    arrays = {
        "x": np.asfortranarray(np.random.default_rng(0).normal(size=(3, 4))),
        "n": np.array(3),
    }
    memory.save("features-0", arrays)
    memory.save("features-0", arrays)
    back = memory.load("features-0")
    assert set(back) == {"x", "n"}
    np.testing.assert_array_equal(back["x"], arrays["x"])
    assert [path.name for path in memory.folder.iterdir()] == ["features-0.safetensors"]


def test_a_stage_asked_out_of_turn_is_refused(site: Worker) -> None:
    answer = ask(site, CalibrateQuestion(STUDY.fingerprint, {}))
    assert answer == Refusal(RunError.code, RunError.public)
