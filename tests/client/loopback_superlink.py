"""A stock SuperLink on the loopback interface, with TLS and node authentication, and runs on it."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
from flwr.app import Message, RecordDict
from flwr.cli.build import build_fab_from_files
from flwr.common.serde import context_from_proto, fab_to_proto, run_from_proto
from flwr.proto.control_pb2 import RegisterNodeRequest, StartRunRequest, UnregisterNodeRequest
from flwr.proto.runtime_pb2 import (
    AcquireTaskRequest,
    PullTaskInputRequest,
    PushTaskOutputRequest,
    SendTaskHeartbeatRequest,
)
from flwr.supercore.constant import TaskType
from flwr.supercore.control import ControlHttpClient
from flwr.supercore.fab import Fab
from flwr.supercore.runtime import RuntimeHttpClient
from flwr.supercore.task_identity import TaskIdentity
from flwr.superlink.grid.http_grid import HttpGrid
from loopback_tls import Authority, free_port, until

from common.bundle import bundle

BIN = Path(sys.executable).parent

BUNDLE = """[project]
name = "carried"
version = "1.0.0"
license = "Apache-2.0"
dependencies = ["flwr>=1.41"]
[tool.flwr.app]
publisher = "test"
[tool.flwr.app.components]
serverapp = "{server}"
clientapp = "{client}"
"""


class SuperLink:
    """A `flower-superlink` process; what runs on it is played by the test."""

    def __init__(self, folder: Path, authority: Authority, port: int | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.authority = authority
        self.port = port or free_port()
        self.health = f"127.0.0.1:{free_port()}"
        self.address = f"localhost:{self.port}"
        self.certificate, self.key = authority.server()
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> SuperLink:
        command = [BIN / "flower-superlink", "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--ssl-certfile", self.certificate, "--ssl-keyfile", self.key]
        command += ["--ssl-ca-certfile", self.authority.ca, "--enable-supernode-auth"]
        command += ["--isolation", "process", "--database", self.folder / "state.db"]
        command += ["--health-server-address", self.health]
        command += ["--disable-runtime-dependency-installation"]
        quiet = {"FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1"}
        with (self.folder / "superlink.log").open("ab") as log:
            self.process = subprocess.Popen(
                [str(part) for part in command],
                stdout=log,
                stderr=log,
                env=os.environ | quiet | {"FLWR_HOME": str(self.folder / "flwr")},
                start_new_session=True,
            )
        until(self._listens, 60.0)
        return self

    def _listens(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.folder / "superlink.log").read_text()[-3000:]
        try:
            socket.create_connection(("127.0.0.1", self.port), 1.0).close()
        except OSError:
            return False
        return True

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)
            self.process.wait(20)
            self.process = None

    def control(self) -> ControlHttpClient:
        return ControlHttpClient.from_server_address(
            self.address, False, self.authority.ca.read_bytes(), []
        )

    def runtime(self) -> RuntimeHttpClient:
        return RuntimeHttpClient.from_server_address(
            self.address, False, self.authority.ca.read_bytes(), []
        )

    def admit(self, public_pem: bytes) -> int:
        with self.control() as control:
            found = control.RegisterNode(RegisterNodeRequest(public_key=public_pem))
        return int(found.node_id)

    def withdraw(self, node: int) -> None:
        with self.control() as control:
            control.UnregisterNode(UnregisterNodeRequest(node_id=node))

    @contextlib.contextmanager
    def run(
        self, client: str = "client.app:app", files: dict[str, bytes] | None = None
    ) -> Iterator[HttpGrid]:
        """Start a run and lend its Grid, as a ServerApp has it.

        It brings the installed release's bundle, or, with `files`, an app of these.
        """
        content = bundle()
        if files:
            parts: dict[str, bytes | Path] = {
                "pyproject.toml": BUNDLE.format(server="server.app:app", client=client).encode(),
                **files,
            }
            content, _ = build_fab_from_files(parts)
        fab = Fab(hashlib.sha256(content).hexdigest(), content, {})
        with self.control() as control:
            started = control.StartRun(StartRunRequest(fab=fab_to_proto(fab)))
        assert started.run_id
        with self.runtime() as runtime:
            claim = until(
                lambda: _claimed(
                    runtime.AcquireTask(
                        AcquireTaskRequest(supported_task_types=[TaskType.SERVER_APP])
                    )
                )
            )
        grid = HttpGrid(self.address, False, self.authority.ca.read_bytes(), token=claim.token)
        talk = grid._runtime_client
        given = talk.PullTaskInput(PullTaskInputRequest())
        TaskIdentity.task_id = given.task_id
        TaskIdentity.run_id = given.run.run_id
        TaskIdentity.node_id = context_from_proto(given.context).node_id
        grid.set_run(run_from_proto(given.run))
        over = threading.Event()

        def beat() -> None:
            while not over.wait(10.0):
                with contextlib.suppress(Exception):
                    talk.SendTaskHeartbeat(SendTaskHeartbeatRequest())

        threading.Thread(target=beat, daemon=True).start()
        try:
            yield grid
        finally:
            over.set()
            with contextlib.suppress(Exception):
                talk.PushTaskOutput(PushTaskOutputRequest(sub_status="completed", details=""))
            grid.close()


def _claimed(found: Any) -> Any:
    return found if found.HasField("task") and found.token else None


def ask(
    grid: HttpGrid,
    nodes: Sequence[int],
    record: RecordDict,
    stage: str = "enrol",
    seconds: float = 60.0,
) -> dict[int, Message]:
    """Ask the nodes and wait for all answers, looking every 0.1 s as the coordinator does.

    A stock SuperLink that writes hundreds of megabytes on a busy disk holds its database longer
    than it waits for it itself (5 s), and answers 500 meanwhile. Ours handles one at a time.
    """
    messages = [Message(record, dst_node_id=node, message_type=f"query.{stage}") for node in nodes]
    waiting = set(grid.push_messages(messages))
    answers: dict[int, Message] = {}
    end = time.monotonic() + seconds
    while waiting:
        assert time.monotonic() < end, f"no answer from {set(nodes) - set(answers)}"
        try:
            found = list(grid.pull_messages(waiting))
        except httpx.HTTPStatusError as error:
            if not error.response.is_server_error:
                raise
            found = []
        for message in found:
            waiting.discard(message.metadata.reply_to_message_id)
            answers[message.metadata.src_node_id] = message
        if waiting:
            time.sleep(0.1)
    return answers


def online(grid: HttpGrid, nodes: Sequence[int]) -> bool:
    return set(nodes) <= set(grid.get_node_ids())
