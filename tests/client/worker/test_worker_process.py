"""The worker as a process: the same bits as in this process, and an orderly end."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from phantom_site import NAME, in_envelope, make_site, questions, tiny_study

from client.app import LINK, line_of_site
from client.approved import approve
from client.cohort.site_folder import SiteFolder
from client.context import SiteContext
from client.link.line import WorkerLine
from client.link.place import SOCKET, target_of
from client.link.wire import pack
from client.worker.worker import Worker
from common.course import exchange_of
from common.messages import EnrolAnswer, Refusal
from common.records import Envelope, from_answer, to_record

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[3]
STUDY = tiny_study()
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="myofed-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="module")
def site(folder: Path) -> Path:
    return make_site(folder)


@pytest.fixture
def start(site: Path) -> Iterator[Start]:
    processes = []

    def begin(*more: str, folder: Path = site) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "client.worker.process", str(folder), *more]
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, cwd=ROOT, stdout=pipe, stderr=pipe, text=True)
        processes.append(process)
        return process

    yield begin
    for process in processes:
        process.kill()
        process.communicate()


def refusal(record: Any) -> Refusal:
    found = from_answer(EnrolAnswer, record)
    assert isinstance(found, Refusal)
    return found


def test_a_site_answers_from_its_own_process_with_the_same_bits(site: Path, start: Start) -> None:
    start()
    line = WorkerLine(site / "link")
    enrol = in_envelope(questions(STUDY)[0])
    assert refusal(line.ask("enrol", enrol)).code == "study-mismatch"
    log = (site / "site.log").read_text()
    assert "studies approved: none yet" in log
    assert "and this site approved: none" in log
    approve(site, STUDY)
    near = Worker(SiteContext(SiteFolder.open(site), STUDY, "run-near"))
    for question in questions(STUDY):
        far = line.ask(question.stage, in_envelope(question))
        assert "refusal" not in far, question.stage
        envelope = Envelope("run-near", exchange_of(question))
        expected = near.ask(question.stage, to_record(question), envelope)
        assert pack("any", far).parts == pack("any", expected).parts, question.stage
    answer = from_answer(EnrolAnswer, line.ask("enrol", enrol))
    assert isinstance(answer, EnrolAnswer)
    assert (answer.site, answer.fingerprint) == (NAME, STUDY.fingerprint)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_end_it_ends_cleanly(site: Path, start: Start, number: signal.Signals) -> None:
    process = start()
    assert process.stdout is not None
    assert process.stdout.readline().startswith(f"The worker of {NAME} serves at unix:")
    begun = time.monotonic()
    process.send_signal(number)
    assert process.wait(10) == 0
    assert time.monotonic() - begun < 2.0
    assert not (site / "link" / SOCKET).exists()
    assert process.stderr is not None
    assert process.stderr.read() == ""
    assert (site / "site.log").read_text().splitlines()[-1].endswith("INFO Ended.")


def test_told_to_end_in_mid_question_it_says_so_and_the_next_worker_answers(
    site: Path, start: Start
) -> None:
    approve(site, STUDY)
    link = site / "link"
    process = start()
    endless = tiny_study(epochs=100_000)
    approve(site, endless)
    lasting = questions(endless)[2]
    with ThreadPoolExecutor(1) as pool, grpc.insecure_channel(target_of(link)) as channel:
        line = WorkerLine(link, deadline=120.0, tries=1)
        coming = pool.submit(line.ask, "train", in_envelope(lasting, "run-2"))
        watched = HealthStub(channel).Watch(
            HealthCheckRequest(service=""), timeout=60, wait_for_ready=True
        )
        assert next(watched).status == HealthCheckResponse.SERVING
        quick = in_envelope(questions(STUDY)[0])
        impatient = WorkerLine(link, deadline=1.0)
        until = time.monotonic() + 60.0
        # Until the long one is computed.
        while "refusal" not in impatient.ask("enrol", quick):
            assert time.monotonic() < until
        begun = time.monotonic()
        process.terminate()
        assert next(watched).status == HealthCheckResponse.NOT_SERVING
        assert process.wait(10) == 0
        assert time.monotonic() - begun < 2.0
        assert refusal(coming.result(60)).code == "worker-unreachable"
    assert "in the middle of a question" in (site / "site.log").read_text()
    start()
    assert "refusal" not in WorkerLine(link).ask("enrol", quick)


def test_a_second_worker_or_no_site_is_an_error_with_what_to_do(
    site: Path, folder: Path, start: Start
) -> None:
    first = start()
    assert first.stdout is not None
    first.stdout.readline()
    for process, what in (
        (start(), "Stop that one first"),
        (start("--link", str(folder / ("a" * 100))), "--link"),
        (start("--address", "8.8.8.8:1", "--link", str(folder / "b")), "not encrypted"),
        (start(folder=folder / "none"), "is not a site folder"),
    ):
        error = process.communicate(timeout=60)[1]
        assert process.returncode == 1
        assert what in error
        assert "Traceback" not in error
    assert first.poll() is None


def test_the_app_finds_the_worker_by_the_environment(
    site: Path, start: Start, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    approve(site, STUDY)
    start("--link", str(folder / "l"))
    enrol = in_envelope(questions(STUDY)[0])
    monkeypatch.delenv(LINK, raising=False)
    assert refusal(line_of_site(None).ask("enrol", enrol)).code == "worker-unreachable"  # type: ignore[arg-type]
    monkeypatch.setenv(LINK, str(folder / "l"))
    assert "refusal" not in line_of_site(None).ask("enrol", enrol)  # type: ignore[arg-type]
