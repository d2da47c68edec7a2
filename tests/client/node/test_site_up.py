"""`myofed site up` as a person has it: two processes, plain lines, and nothing left behind."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from loopback_superlink import SuperLink, ask, online
from loopback_tls import Authority, free_port, until
from node_samples import ROOT, group_lives, kill, short_folder

from client import site_up
from client.cohort.site_folder import SiteFolder
from client.link.place import SOCKET
from client.membership import initialise, join
from client.rooms import NodeRoom
from common.errors import StudyMismatch
from common.health import SERVING, health_of
from common.identity import Invitation, JoinRequest, node_key
from common.messages import EnrolAnswer, EnrolQuestion, Refusal
from common.records import Envelope, from_answer, sealed, to_record
from common.study import Study

pytestmark = pytest.mark.slow

STUDY = Study.model_validate(
    {
        "name": "tiny",
        "sites": [{"name": "tufts", "role": "train"}],
        "secure_sum": {"enabled": False},
    }
)
OTHER = sealed(to_record(EnrolQuestion("0" * 64)), Envelope("run-1", "enrol.0"))
"""A question of a study that was not approved: the worker itself refuses it."""


@pytest.fixture(scope="module")
def superlink() -> Iterator[SuperLink]:
    with short_folder() as folder:
        made = SuperLink(folder / "superlink", Authority(folder / "authority")).start()
        try:
            yield made
        finally:
            made.stop()


class Up:
    """A running `myofed site up`, and what it has printed."""

    def __init__(self, site: Path, *options: str) -> None:
        command = [sys.executable, "-m", "myofed", "site", "up", str(site), *options]
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            start_new_session=True,
        )  # fmt: skip
        self.printed = ""
        self._reading = threading.Thread(target=self._read)
        self._reading.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.printed += line

    def count(self, words: str) -> int:
        return self.printed.count(words)

    def children(self) -> dict[str, int]:
        """The last process of each name."""
        found = re.findall(r"(worker|node) started \(process (\d+)\)", self.printed)
        return {name: int(pid) for name, pid in found}

    def everything(self) -> list[int]:
        return [int(pid) for pid in re.findall(r"started \(process (\d+)\)", self.printed)]

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        code = self.process.wait(30)
        self._reading.join(10)
        return code


@pytest.fixture
def site(superlink: SuperLink, tmp_path: Path) -> Iterator[tuple[Path, int]]:
    """A site that was admitted and has joined, and the number of its node."""
    with short_folder() as folder:
        path = folder / "tufts"
        SiteFolder.create(
            path, [], name="tufts", source="test", myocardium=2, positive="scar", negative="none"
        )
        request = JoinRequest.load(initialise(path).request)
        number = superlink.admit(node_key(request.public_key))
        authority = superlink.authority
        invitation = tmp_path / "invitation.json"
        Invitation(
            superlink.address, authority.ca.read_text(), authority.fingerprint,
            STUDY.canonical(), STUDY.fingerprint,
        ).save(invitation)  # fmt: skip
        join(path, invitation)
        yield path, number


def refused(message: Any) -> str:
    assert not message.has_error(), message.error
    answer = from_answer(EnrolAnswer, message.content)
    assert isinstance(answer, Refusal)
    return answer.code


def test_both_rooms_run_come_back_and_end_together(
    superlink: SuperLink, site: tuple[Path, int]
) -> None:
    path, number = site
    up = Up(path)
    try:
        until(lambda: "worker: ready" in up.printed, 60)
        until(lambda: "node: connected: Connected to the coordinator" in up.printed, 60)
        with superlink.run() as grid:
            until(lambda: online(grid, [number]))
            assert refused(ask(grid, [number], OTHER)[number]) == StudyMismatch.code
            kill(up.children()["worker"])
            kill(up.children()["node"])
            until(lambda: up.count("worker: ready") == 2, 60)
            until(lambda: up.count("node: connected:") == 2, 60)
            until(lambda: online(grid, [number]))
            assert refused(ask(grid, [number], OTHER)[number]) == StudyMismatch.code
        second = subprocess.run(
            [sys.executable, "-m", "myofed", "site", "up", str(path)],
            cwd=ROOT, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert second.returncode == 2
        assert "already" in second.stderr
    finally:
        code = up.end(signal.SIGINT)
    assert code == 0, up.printed
    assert "Stopped. Nothing is left running." in up.printed
    assert len(up.everything()) == 4, up.printed
    assert not [pid for pid in up.everything() if group_lives(pid)]
    key = NodeRoom.of(path).key.read_text().splitlines()[1:-1]
    logs = up.printed + "".join(log.read_text() for log in path.rglob("*.log"))
    assert not [line for line in key if line in logs]


def test_one_room_at_a_time_and_no_orphans(superlink: SuperLink, site: tuple[Path, int]) -> None:
    path, _ = site
    with short_folder() as folder:
        link = ("--link", str(folder / "door"))
        health = f"127.0.0.1:{free_port()}"
        worker = Up(path, "--only", "worker", *link)
        node = Up(path, "--only", "node", "--health", health, *link)
        try:
            until(lambda: "worker: ready" in worker.printed, 60)
            until(lambda: "node: connected:" in node.printed, 60)
            assert health_of(health) == SERVING
            assert not (path / "link").exists()
            assert set(worker.children()) == {"worker"}
            assert set(node.children()) == {"node"}
        finally:
            worker.end(signal.SIGKILL)
            node.end(signal.SIGTERM)
        until(lambda: not [p for p in worker.everything() if group_lives(p)], 20)
        assert not [p for p in node.everything() if group_lives(p)]


def test_a_worker_that_is_ready_is_asked_seldom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = {"serves": False, "asked": 0, "now": 0.0}

    def serves(_: Path) -> bool:
        answers["asked"] += 1
        return bool(answers["serves"])

    monkeypatch.setattr(site_up, "_worker_serves", serves)
    monkeypatch.setattr(site_up.time, "monotonic", lambda: answers["now"])
    look = site_up.WorkerLook(tmp_path)
    assert look() == look() == ""
    (tmp_path / SOCKET).touch()
    assert look() == ""
    answers["serves"] = True
    assert look() == "worker: ready"
    before = answers["asked"]
    assert {look() for _ in range(5)} == {"worker: ready"}
    assert answers["asked"] == before
    answers["now"] = site_up.AGAIN_SECONDS
    answers["serves"] = False
    assert look() == ""
    answers["serves"] = True
    assert look() == "worker: ready"
    # Started anew, it is told of anew.
    (tmp_path / "other").touch()
    (tmp_path / "other").replace(tmp_path / SOCKET)
    assert [look(), look()] == ["", "worker: ready"]
    (tmp_path / SOCKET).unlink()
    answers["serves"] = False
    assert look() == look() == ""
