"""A server and lines on real sockets: who is let in, what is told, who waits for whom."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from flwr.app import RecordDict
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from link_samples import bits, every_kind, mode_of, tell, vector, wait_until, word

from client.link import service, wire
from client.link.line import WorkerLine
from client.link.place import SOCKET, LinkError, opened, target_of
from client.link.service import Answer, LinkServer
from client.link.token import KEY, TOKEN_FILE, token_of
from client.link.wire import pack
from client.link.worker_pb2 import Piece
from client.link.worker_pb2_grpc import WorkerStub
from common.errors import CohortError, MyoFedError
from common.messages import EnrolAnswer, Refusal
from common.records import from_answer

SECRET = "Patient P07-Smith in /data/hospital/P07.nii.gz"
Serve = Callable[..., LinkServer]


def echo(stage: str, record: RecordDict) -> RecordDict:
    return record


@pytest.fixture
def serve(link: Path) -> Iterator[Serve]:
    servers = []

    def start(answer: Answer = echo, address: str | None = None) -> LinkServer:
        server = LinkServer(answer, link, address)
        server.start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.stop(0.0)


def refusal(record: RecordDict) -> Refusal:
    found = from_answer(EnrolAnswer, record)
    assert isinstance(found, Refusal)
    return found


def status(channel: grpc.Channel, name: str = "") -> Any:
    return HealthStub(channel).Check(HealthCheckRequest(service=name), timeout=10).status


def call(link: Path, pieces: Iterator[Piece], *metadata: tuple[str, str]) -> list[Piece]:
    with grpc.insecure_channel(target_of(link)) as channel:
        return list(WorkerStub(channel).Ask(pieces, timeout=20, metadata=metadata))


def test_a_record_of_every_kind_goes_there_and_back(link: Path, serve: Serve) -> None:
    serve()
    assert mode_of(link / SOCKET) == 0o600
    line = WorkerLine(link)
    for _ in range(2):
        assert bits(line.ask("fuse", every_kind())) == bits(every_kind())
    assert bits(line.ask("train", vector(2**20))) == bits(vector(2**20))


def test_a_private_address_stands_in_for_the_socket(link: Path, serve: Serve) -> None:
    server = serve(address="127.0.0.1:0")
    assert not (link / SOCKET).exists()
    assert bits(WorkerLine(link, server.target).ask("fuse", every_kind())) == bits(every_kind())


def test_a_path_with_odd_letters_is_a_place(link: Path) -> None:
    folder = link / "Klinik Ä%20 #1?"
    server = LinkServer(echo, folder)
    server.start()
    try:
        assert (folder / SOCKET).is_socket()
        assert bits(WorkerLine(folder, patience=10).ask("a", vector(3))) == bits(vector(3))
    finally:
        server.stop()
    assert not (folder / SOCKET).exists()


def test_a_folder_made_for_a_group_has_a_socket_for_the_group(link: Path, serve: Serve) -> None:
    opened(link).chmod(0o770)
    serve()
    assert mode_of(link / SOCKET) == 0o660
    assert bits(WorkerLine(link).ask("a", vector(3))) == bits(vector(3))


@pytest.mark.parametrize(
    ("metadata", "what"),
    [
        ((), "no token"),
        (((KEY, "0" * 64),), "a wrong token"),
        (((KEY, ""),), "a wrong token"),
        ((("token", "1"),), "no token"),
    ],
)
def test_a_call_without_the_token_is_refused_and_logged(
    link: Path,
    serve: Serve,
    caplog: pytest.LogCaptureFixture,
    metadata: tuple[tuple[str, str], ...],
    what: str,
) -> None:
    asked = []
    serve(lambda stage, record: asked.append(stage) or record)
    with pytest.raises(grpc.RpcError) as caught:
        call(link, pack("enrol", vector(10**6)).pieces(), *metadata)
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert what in caught.value.details()
    assert f"with {what}" in caplog.text
    assert token_of(link) not in caplog.text + caught.value.details()
    assert asked == []


def test_a_line_with_another_token_is_refused_at_once(
    link: Path, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    serve()
    stranger = opened(link.with_name("stranger"))
    token_of(stranger)
    (stranger / SOCKET).symlink_to(link / SOCKET)
    found = refusal(WorkerLine(stranger).ask("enrol", vector(3)))
    assert found == Refusal("worker-unreachable", LinkError.public)
    assert "UNAUTHENTICATED" in caplog.text
    assert token_of(stranger) not in caplog.text


def test_a_token_is_renewed_without_a_restart(link: Path, serve: Serve) -> None:
    serve()
    line = WorkerLine(link)
    line.ask("enrol", vector(3))
    (link / TOKEN_FILE).unlink()
    assert "refusal" not in line.ask("enrol", vector(3))


def test_a_token_that_others_can_read_lets_nobody_in(
    link: Path, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    serve()
    token = token_of(link)
    (link / TOKEN_FILE).chmod(0o644)
    with pytest.raises(grpc.RpcError) as caught:
        call(link, pack("enrol", vector(3)).pieces(), (KEY, token))
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert refusal(WorkerLine(link).ask("enrol", vector(3))).code == "worker-unreachable"
    assert "Others than its owner can read" in caplog.text


def test_another_version_is_refused_with_both_names(
    link: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    serve()
    parcel = pack("enrol", vector(3))
    parcel.header.version = "7"
    with pytest.raises(grpc.RpcError) as caught:
        call(link, parcel.pieces(), (KEY, token_of(link)))
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert f"version {wire.VERSION} of the link, the other version 7" in caught.value.details()
    monkeypatch.setattr("client.link.line.pack", lambda *_: parcel)
    assert refusal(WorkerLine(link).ask("enrol", vector(3))).code == "worker-unreachable"
    assert "the other version 7" in caplog.text


def test_an_answer_of_another_version_is_named(
    link: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def pack_as_other(stage: str, record: RecordDict) -> wire.Parcel:
        parcel = pack(stage, record)
        parcel.header.version = "0"
        return parcel

    serve()
    monkeypatch.setattr(service, "pack", pack_as_other)
    assert refusal(WorkerLine(link).ask("enrol", vector(3))).code == "worker-unreachable"
    assert "the other version 0" in caplog.text


def test_damaged_questions_do_not_reach_the_worker(link: Path, serve: Serve) -> None:
    asked = []
    serve(lambda stage, record: asked.append(stage) or record)
    pieces = list(pack("enrol", vector(3)).pieces())
    for damaged in ([], pieces[1:], pieces[:-1], [*pieces, pieces[-1]]):
        with pytest.raises(grpc.RpcError) as caught:
            call(link, iter(damaged), (KEY, token_of(link)))
        assert caught.value.code() is grpc.StatusCode.DATA_LOSS
    assert asked == []


@pytest.mark.parametrize(
    "error", [ValueError(SECRET), CohortError(SECRET, SECRET), SystemExit(SECRET), KeyError(SECRET)]
)
def test_an_exception_of_the_worker_stays_at_the_worker(
    link: Path, serve: Serve, caplog: pytest.LogCaptureFixture, error: BaseException
) -> None:
    def fail(stage: str, record: RecordDict) -> RecordDict:
        if stage == "fail":
            raise error
        return record

    serve(fail)
    record = WorkerLine(link).ask("fail", vector(3))
    expected = error if isinstance(error, CohortError) else MyoFedError("")
    code = CohortError.code if isinstance(error, CohortError) else "internal"
    assert refusal(record) == Refusal(code, expected.public)
    assert "P07" not in repr(record)
    assert SECRET in caplog.text
    assert "refusal" not in WorkerLine(link).ask("go on", vector(3))


def test_a_question_that_is_too_large_is_refused_by_the_line(
    link: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    serve()
    monkeypatch.setattr("client.link.line.pack", lambda *what: pack(*what, limit=100))
    assert refusal(WorkerLine(link).ask("train", vector(1000))).code == "run-failed"
    assert "the link carries 100" in caplog.text


class Gate:
    """An answer that is not ready before the gate opens."""

    def __init__(self) -> None:
        self.began, self.open = threading.Semaphore(0), threading.Event()
        self.now, self.most = 0, 0

    def __call__(self, stage: str, record: RecordDict) -> RecordDict:
        self.now += 1
        self.most = max(self.most, self.now)
        self.began.release()
        assert self.open.wait(60)
        self.now -= 1
        return tell(thread=threading.current_thread().name)


def test_questions_are_computed_one_by_one_and_health_answers_meanwhile(
    link: Path, serve: Serve
) -> None:
    gate = Gate()
    serve(gate)
    with ThreadPoolExecutor(4) as pool, grpc.insecure_channel(target_of(link)) as channel:
        coming = [pool.submit(WorkerLine(link).ask, "enrol", vector(3)) for _ in range(4)]
        assert gate.began.acquire(timeout=30)
        for name in ("", "myofed.link.v1.Worker"):
            assert status(channel, name) == HealthCheckResponse.SERVING
        gate.open.set()
        threads = {word(one.result(60), "thread") for one in coming}
    assert (gate.most, len(threads)) == (1, 1)


def test_health_says_first_that_the_worker_ends(link: Path, serve: Serve) -> None:
    gate = Gate()
    server = serve(gate)
    with ThreadPoolExecutor(1) as pool, grpc.insecure_channel(target_of(link)) as channel:
        asked = pool.submit(WorkerLine(link, patience=0.5, tries=2).ask, "enrol", vector(3))
        assert gate.began.acquire(timeout=30)
        watched = HealthStub(channel).Watch(HealthCheckRequest(service=""), timeout=30)
        assert next(watched).status == HealthCheckResponse.SERVING
        assert not server.stop(0.2)
        assert next(watched).status == HealthCheckResponse.NOT_SERVING
        assert refusal(asked.result(60)).code == "worker-unreachable"
        gate.open.set()
    assert not (link / SOCKET).exists()


def test_a_node_that_goes_away_does_not_disturb_the_worker(
    link: Path, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    gate = Gate()
    serve(gate)
    pieces, metadata = pack("enrol", vector(3)).pieces(), ((KEY, token_of(link)),)
    with grpc.insecure_channel(target_of(link)) as channel:
        asking = WorkerStub(channel).Ask(pieces, metadata=metadata)
        assert gate.began.acquire(timeout=30)
        asking.cancel()
    wait_until(lambda: "went away" in caplog.text)
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(WorkerLine(link).ask, "enrol", vector(3))
        gate.open.set()
        assert "refusal" not in coming.result(60)
    assert gate.most == 1


def test_the_deadline_ends_a_question(
    link: Path, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    gate = Gate()
    serve(gate)
    assert refusal(WorkerLine(link, deadline=0.5).ask("a", vector(3))).code == "worker-unreachable"
    assert "DEADLINE_EXCEEDED" in caplog.text
    gate.open.set()


def test_more_questions_than_may_wait_are_sent_away(link: Path, serve: Serve) -> None:
    gate = Gate()
    serve(gate)
    lines = [WorkerLine(link, tries=1) for _ in range(service.WAITING + 2)]
    with ThreadPoolExecutor(len(lines)) as pool:
        coming = [pool.submit(line.ask, "enrol", vector(3)) for line in lines]
        wait_until(lambda: sum(one.done() for one in coming) == 2)
        with grpc.insecure_channel(target_of(link)) as channel:
            assert status(channel) == HealthCheckResponse.SERVING
        gate.open.set()
        assert sum("refusal" in one.result(60) for one in coming) == 2


def test_a_second_server_is_refused_and_the_first_goes_on(link: Path, serve: Serve) -> None:
    serve()
    with pytest.raises(LinkError, match=r"Another worker serves .* already\. Stop that one"):
        LinkServer(echo, link).start()
    assert bits(WorkerLine(link).ask("enrol", vector(3))) == bits(vector(3))


def test_a_port_that_is_taken_is_refused(link: Path, serve: Serve) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(LinkError, match="cannot listen"):
            LinkServer(echo, link, address).start()
    serve()  # what was held was let go


def test_a_socket_that_a_dead_worker_left_is_no_hindrance(link: Path, serve: Serve) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(opened(link) / SOCKET))
    assert (link / SOCKET).is_socket()
    serve()
    assert bits(WorkerLine(link).ask("enrol", vector(3))) == bits(vector(3))


def test_without_a_worker_there_is_a_refusal_and_the_log_says_what_to_do(
    link: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = refusal(WorkerLine(link, patience=0.3).ask("enrol", vector(3)))
    assert found == Refusal("worker-unreachable", LinkError.public)
    assert "Start the worker: myofed site up" in caplog.text


def test_a_line_to_an_impossible_place_refuses_too(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        found = refusal(WorkerLine(Path("/proc/none/link")).ask("enrol", vector(3)))
    assert found.code == "worker-unreachable"
    assert "cannot be used" in caplog.text


def test_a_line_waits_for_a_worker_that_comes_later(link: Path, serve: Serve) -> None:
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(WorkerLine(link).ask, "enrol", vector(3))
        wait_until((link / TOKEN_FILE).exists)  # the node came first
        assert not coming.done()
        serve()
        assert bits(coming.result(60)) == bits(vector(3))
