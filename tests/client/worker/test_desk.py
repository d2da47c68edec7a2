"""The desk: an envelope opened, and the worker of that study and run found."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from flwr.app import ConfigRecord, RecordDict
from phantom_site import NAME, in_envelope, make_site, tiny_study

from client.approved import ApprovalWithdrawn, approve, revoke
from client.worker.desk import WorkerDesk
from client.worker.worker import Worker
from common.errors import CohortError, MyoFedError
from common.messages import EnrolAnswer, EnrolQuestion, Refusal
from common.records import Envelope, from_answer, sealed, to_record
from harmonization.errors import BatchError

STUDY, OTHER = tiny_study(), tiny_study("other")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_site(tmp_path_factory.mktemp("site"))


@pytest.fixture
def desk(made: Path, monkeypatch: pytest.MonkeyPatch) -> WorkerDesk:
    """A desk whose workers give the question back."""
    for path in (made / "studies").glob("*"):
        path.unlink()

    def echo(worker: Worker, stage: str, record: RecordDict, *_: object) -> RecordDict:
        return record

    monkeypatch.setattr(Worker, "ask", echo)
    return WorkerDesk(made)


def code_of(record: RecordDict) -> str:
    found = from_answer(EnrolAnswer, record)
    assert isinstance(found, Refusal)
    return found.code


def enrol(study: object = STUDY) -> EnrolQuestion:
    return EnrolQuestion(study.fingerprint)  # type: ignore[attr-defined]


def test_the_worker_gets_the_question_without_its_envelope(desk: WorkerDesk, made: Path) -> None:
    approve(made, STUDY)
    assert desk.ask("enrol", in_envelope(enrol())) == to_record(enrol())


def test_approvals_count_from_the_next_question_on(
    desk: WorkerDesk, made: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert code_of(desk.ask("enrol", in_envelope(enrol()))) == "study-mismatch"
    assert "approved: none" in caplog.text
    path = approve(made, STUDY)
    assert "refusal" not in desk.ask("enrol", in_envelope(enrol()))
    assert code_of(desk.ask("enrol", in_envelope(enrol(OTHER)))) == "study-mismatch"
    assert f"approved: {STUDY.fingerprint[:12]}" in caplog.text
    path.unlink()
    assert code_of(desk.ask("enrol", in_envelope(enrol()))) == "study-mismatch"


def test_a_withdrawal_counts_from_the_next_question_on(
    desk: WorkerDesk, made: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = approve(made, STUDY)
    assert "refusal" not in desk.ask("enrol", in_envelope(enrol()))
    old = path.with_suffix(".approval").read_bytes()
    assert revoke(made, STUDY.fingerprint)
    asked = desk.ask("enrol", in_envelope(enrol()))
    refused = from_answer(EnrolAnswer, asked)
    assert refused == Refusal("approval-withdrawn", ApprovalWithdrawn.public)
    assert "withdrew its approval" in caplog.text
    path.with_suffix(".approval").write_bytes(old)
    assert code_of(desk.ask("enrol", in_envelope(enrol()))) == "approval-withdrawn"
    approve(made, STUDY)
    assert "refusal" not in desk.ask("enrol", in_envelope(enrol()))


def test_a_study_that_somebody_put_there_is_refused(desk: WorkerDesk, made: Path) -> None:
    path = approve(made, STUDY)
    path.with_name(f"{OTHER.fingerprint}.json").write_text(OTHER.canonical())
    assert code_of(desk.ask("enrol", in_envelope(enrol(OTHER)))) == "study-mismatch"
    signed = path.with_suffix(".approval")
    copy = path.with_name(f"{OTHER.fingerprint}.approval")
    copy.write_text(signed.read_text().replace(STUDY.fingerprint, OTHER.fingerprint))
    assert code_of(desk.ask("enrol", in_envelope(enrol(OTHER)))) == "study-mismatch"
    assert "refusal" not in desk.ask("enrol", in_envelope(enrol()))


def test_an_edited_approval_is_refused(desk: WorkerDesk, made: Path) -> None:
    path = approve(made, STUDY)
    path.write_text(OTHER.canonical())
    assert code_of(desk.ask("enrol", in_envelope(enrol()))) == "study-invalid"


def test_a_worker_is_kept_for_each_study_and_run_and_few_of_them(
    desk: WorkerDesk, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Worker] = []
    monkeypatch.setattr(Worker, "ask", lambda worker, *_: seen.append(worker) or RecordDict({}))
    approve(made, STUDY)
    approve(made, OTHER)
    places = [(STUDY, "one"), (STUDY, "one"), (STUDY, "two"), (OTHER, "one"), (OTHER, "one")]
    for study, run in [*places, (STUDY, "two"), (STUDY, "one")]:
        desk.ask("enrol", in_envelope(enrol(study), run))
    assert [(one.context.study, one.context.run) for one in seen[:5]] == places
    assert seen[0] is seen[1]
    assert seen[3] is seen[4]
    assert seen[5] is seen[2]
    assert seen[6] is not seen[0]
    assert len(set(map(id, seen))) == 4
    assert seen[0].context.site is not seen[2].context.site


@pytest.mark.parametrize(
    "record",
    [
        RecordDict({}),
        to_record(enrol()),
        sealed(RecordDict({}), Envelope("run", "enrol.0")),
        sealed(
            RecordDict({"fields": ConfigRecord({"fingerprint": 7})}), Envelope("run", "enrol.0")
        ),
        sealed(
            RecordDict({"fields": ConfigRecord({"give": "patients"})}), Envelope("run", "enrol.0")
        ),
    ],
)
def test_what_names_no_run_or_no_study_is_refused(desk: WorkerDesk, record: RecordDict) -> None:
    assert code_of(desk.ask("enrol", record)) == "run-failed"


@pytest.mark.parametrize(
    ("error", "face"),
    [
        (OSError("Patient P07"), Refusal("internal", MyoFedError.public)),
        (CohortError("Patient P07"), Refusal(CohortError.code, CohortError.public)),
        (
            BatchError("Patient P07", ""),
            Refusal("harmonization-failed", "Harmonisation could not be computed."),
        ),
    ],
)
def test_a_failure_before_the_worker_leaks_nothing(
    desk: WorkerDesk,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    face: Refusal,
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(desk, "asked", fail)
    with caplog.at_level(logging.ERROR, f"myofed.site.{NAME}"):
        record = desk.ask("enrol", in_envelope(enrol()))
    assert from_answer(EnrolAnswer, record) == face
    assert "Patient P07" in caplog.text


def test_a_worker_may_use_as_many_cores_as_its_desk(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    monkeypatch.setattr(
        Worker, "ask", lambda worker, *_: seen.append(worker.context.cores) or RecordDict({})
    )
    approve(made, STUDY)
    WorkerDesk(made, cores=7).ask("enrol", in_envelope(enrol()))
    WorkerDesk(made).ask("enrol", in_envelope(enrol()))
    assert seen == [7, 1]
