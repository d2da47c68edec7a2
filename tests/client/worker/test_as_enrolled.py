"""A site stays what it enrolled as, for the whole of a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from phantom_site import in_envelope, make_site, questions, tiny_study

from client.approved import approve
from client.stages import enrol
from client.worker.desk import WorkerDesk
from common.errors import ChangedSinceEnrolment
from common.messages import Refusal
from common.question_kinds import ANSWERS
from common.records import from_answer

STUDY = tiny_study()
ENROL, HARMONIZE, TRAIN = questions(STUDY)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = make_site(tmp_path_factory.mktemp("site"))
    approve(path, STUDY)
    return path


def code_of(desk: WorkerDesk, question: object, run: str) -> str:
    """Ask, and give the code of a refusal; empty for an answer."""
    stage = question.stage  # type: ignore[attr-defined]
    found = from_answer(ANSWERS[stage], desk.ask(stage, in_envelope(question, run)))  # type: ignore[arg-type]
    return found.code if isinstance(found, Refusal) else ""


def another_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    real = enrol.package_versions
    monkeypatch.setattr(enrol, "package_versions", lambda: real() | {"torch": "1.0"})


def test_a_worker_that_comes_back_with_other_software_refuses_until_it_enrols_again(
    made: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert code_of(WorkerDesk(made), ENROL, "a") == ""
    assert code_of(WorkerDesk(made), HARMONIZE, "a") == ""
    with monkeypatch.context() as patch:
        another_torch(patch)
        desk = WorkerDesk(made)
        for _ in range(2):
            assert code_of(desk, HARMONIZE, "a") == ChangedSinceEnrolment.code
        assert '"torch": "1.0"' in caplog.text
        # A run that is gone on with asks anew, and compares.
        assert code_of(desk, ENROL, "a") == ""
        assert code_of(desk, HARMONIZE, "a") == ""
    assert code_of(WorkerDesk(made), TRAIN, "a") == ChangedSinceEnrolment.code


def test_another_cohort_is_noticed(made: Path) -> None:
    assert code_of(WorkerDesk(made), ENROL, "b") == ""
    path = made / "runs" / "b" / "enrolled.json"
    held = json.loads(path.read_text())
    path.write_text(json.dumps(held | {"positive": held["positive"] + 1}))
    assert code_of(WorkerDesk(made), HARMONIZE, "b") == ChangedSinceEnrolment.code


def test_what_one_run_enrolled_with_does_not_bind_another(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert code_of(WorkerDesk(made), ENROL, "c") == ""
    another_torch(monkeypatch)
    desk = WorkerDesk(made)
    assert code_of(desk, ENROL, "d") == ""
    assert code_of(desk, HARMONIZE, "d") == ""
