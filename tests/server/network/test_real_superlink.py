"""A real SuperLink behind the guard: who gets in, who does not, and what the logs say."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_ssh_private_key
from flwr.proto.fleet_pb2 import (
    ActivateNodeRequest,
    DeactivateNodeRequest,
    PullMessagesRequest,
    RegisterNodeFleetRequest,
)
from flwr.proto.node_pb2 import Node
from flwr.supercore.error import ApiErrorCode, FlowerError
from flwr.supernode.fleet_http_client import FleetHttpClient
from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor
from network_samples import kill, make_folder, processes_of, request_of, until

from common.bundle import bundle
from common.identity import fingerprint, make_key, node_key
from server.network.admission import admit
from server.network.control import (
    KEY_IN_USE,
    Control,
    ControlRefused,
    SuperLinkDown,
    health,
    trusting,
)
from server.network.folder import CoordinatorFolder
from server.network.guard import TOKEN_HEADER
from server.network.nodes import register

pytestmark = pytest.mark.slow


@contextmanager
def fleet(folder: CoordinatorFolder, key: Path, claimed: Path | None = None) -> Iterator[Any]:
    """Flower's own client of a node with that key, or one that claims to have another's."""
    private = load_ssh_private_key(key.read_bytes(), None)
    shown = load_ssh_private_key((claimed or key).read_bytes(), None)
    assert isinstance(private, EllipticCurvePrivateKey)
    assert isinstance(shown, EllipticCurvePrivateKey)
    with FleetHttpClient(
        f"https://{folder.local_address}",
        interceptors=[NodeAuthHttpInterceptor(private, shown.public_key())],
        verify=trusting(folder),
    ) as client:
        yield client


def refused(call: Any, request: Any) -> tuple[int, FlowerError | None]:
    with pytest.raises(httpx.HTTPStatusError) as caught:
        call(request)
    response = caught.value.response
    return response.status_code, FlowerError.from_json(response.text)


def log_of(folder: CoordinatorFolder) -> str:
    return (folder.logs / "superlink.log").read_text()


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/health", {}, 200),
        ("GET", "/docs", {}, 404),
        ("GET", "/openapi.json", {}, 404),
        ("POST", "/v1/control/start-run", {}, 403),
        ("POST", "/v1/control/list-nodes", {TOKEN_HEADER: "0" * 64}, 403),
        ("POST", "/v1/fleet/pull-messages", {}, 401),
        ("POST", "/v1/runtime/acquire-task", {"content-type": "application/protobuf"}, 401),
    ],
)
def test_what_a_stranger_on_this_machine_gets(
    coordinator: CoordinatorFolder, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    """Even here: Control needs the token, and Runtime the SuperExec's secret."""
    with httpx.Client(verify=trusting(coordinator), trust_env=False) as client:
        answer = client.request(
            method, f"https://{coordinator.local_address}{path}", headers=headers
        )
    assert answer.status_code == status
    assert "server" not in answer.headers


def test_an_unknown_key_is_refused_and_both_logs_say_why(
    coordinator: CoordinatorFolder, tmp_path: Path
) -> None:
    stranger = make_key(tmp_path / "stranger.key")
    key = node_key(stranger)
    with fleet(coordinator, tmp_path / "stranger.key") as client:
        for call, request in (
            (client.RegisterNode, RegisterNodeFleetRequest(public_key=key)),
            (client.ActivateNode, ActivateNodeRequest(public_key=key, heartbeat_interval=30)),
        ):
            status, error = refused(call, request)
            assert status == 412
            assert error is not None
            assert error.public_details is not None
            assert fingerprint(stranger) in error.public_details
        assert refused(client.PullMessages, PullMessagesRequest(node=Node(node_id=1)))[0] == 401
    shown = fingerprint(stranger)
    until(lambda: f"unknown key {shown} (127.0.0.1) was refused" in log_of(coordinator))


def test_who_only_knows_the_key_of_a_site_is_refused(
    coordinator: CoordinatorFolder, beside: Path, tmp_path: Path
) -> None:
    make_key(tmp_path / "thief.key")
    with fleet(coordinator, tmp_path / "thief.key", beside / "tufts.key") as client:
        key = next(iter(_keys(coordinator)))
        request = ActivateNodeRequest(public_key=key, heartbeat_interval=30)
        assert refused(client.ActivateNode, request)[0] == 401


def test_flower_itself_registers_nobody_over_fleet(
    coordinator: CoordinatorFolder, tmp_path: Path
) -> None:
    """An admitted key that is not registered yet: Flower's own door is shut too."""
    name = "early"
    admitted = coordinator.admitted / f"{name}.json"
    request = request_of(tmp_path, name)
    wire = RegisterNodeFleetRequest(public_key=node_key(request.public_key))
    try:
        with fleet(coordinator, tmp_path / "early.key") as client:
            admit(coordinator, request)
            status, error = refused(client.RegisterNode, wire)
    finally:
        admitted.unlink()
    assert status == 412
    assert error is not None
    assert error.code == ApiErrorCode.FLEET_SUPERNODE_REGISTRATION_DISABLED


def test_an_admitted_site_joins_and_is_seen(
    coordinator: CoordinatorFolder, control: Control, beside: Path
) -> None:
    (key,) = [one for one, name in _keys(coordinator).items() if name == "tufts"]
    with fleet(coordinator, beside / "tufts.key") as client:
        given = client.ActivateNode(ActivateNodeRequest(public_key=key, heartbeat_interval=30))
        (seen,) = [node for node in control.nodes() if node.key == key]
        assert seen.node == given.node_id
        assert seen.online
        client.DeactivateNode(DeactivateNodeRequest(node_id=given.node_id))
    (gone,) = [node for node in control.nodes() if node.key == key]
    assert not gone.online
    assert gone.deactivated


def test_a_key_that_was_withdrawn_is_out_at_once_and_for_good(
    coordinator: CoordinatorFolder, control: Control, tmp_path: Path
) -> None:
    old, new = request_of(tmp_path, "bern", "old"), request_of(tmp_path, "bern", "new")
    admit(coordinator, old)
    register(coordinator, control)
    with fleet(coordinator, tmp_path / "old.key") as client:
        key = node_key(old.public_key)
        joined = client.ActivateNode(ActivateNodeRequest(public_key=key, heartbeat_interval=30))
        admit(coordinator, new, replace=True)
        wire = PullMessagesRequest(node=Node(node_id=joined.node_id))
        assert refused(client.PullMessages, wire)[0] == 401
    register(coordinator, control)
    known = {node.key: node for node in control.nodes()}
    assert not known[key].registered
    assert known[node_key(new.public_key)].registered
    with pytest.raises(ControlRefused) as again:
        control.register("bern", key)
    assert again.value.reason == KEY_IN_USE


def test_a_newly_admitted_site_is_registered_while_the_coordinator_is_up(
    coordinator: CoordinatorFolder, control: Control, tmp_path: Path
) -> None:
    request = request_of(tmp_path, "rome")
    admit(coordinator, request)
    key = node_key(request.public_key)
    until(lambda: key in {node.key for node in control.nodes()}, 15.0)
    assert register(coordinator, control) == []


def test_runs_are_started_looked_at_and_stopped(control: Control) -> None:
    number = control.start(bundle(), "tiny-nowhere")
    found = control.run(number)
    assert found is not None
    assert found.identity == "tiny-nowhere"
    assert found.status in ("pending", "starting", "running", "finished")
    control.stop(number)
    control.stop(number)
    stopped = control.run(number)
    assert stopped is not None
    assert stopped.over
    assert control.run(12345) is None
    control.stop(12345)


def test_the_superlink_comes_back_with_what_it_knew(
    coordinator: CoordinatorFolder, control: Control
) -> None:
    before = {node.key for node in control.nodes()}
    pids = processes_of(coordinator.path)
    (pid,) = [pid for pid, line in pids.items() if "server.network.superlink" in line]
    kill(pid)
    until(lambda: health(coordinator) is None, 10.0)
    until(lambda: health(coordinator))
    with Control(coordinator) as again:
        assert {node.key for node in again.nodes()} == before


def test_another_authority_is_not_trusted_and_nobody_there_is_said(
    coordinator: CoordinatorFolder, tmp_path: Path
) -> None:
    stranger = make_folder(tmp_path / "other")
    elsewhere = CoordinatorFolder(stranger.path, coordinator.settings)
    assert health(elsewhere) is None
    with Control(elsewhere) as wrong, pytest.raises(SuperLinkDown):
        wrong.nodes()
    with Control(stranger) as nobody, pytest.raises(SuperLinkDown, match="does not answer"):
        nobody.nodes()


def test_no_log_holds_a_secret(coordinator: CoordinatorFolder, beside: Path) -> None:
    written = [file.read_bytes() for file in coordinator.logs.iterdir()]
    written.append((beside / "up.log").read_bytes())
    secrets = [file.read_bytes() for file in coordinator.secrets.iterdir()]
    assert len(written) == 3
    for text in written:
        assert b"PRIVATE" not in text
        assert not [secret for secret in secrets if secret in text]
        assert coordinator.superexec_secret.read_bytes().hex().encode() not in text


def _keys(folder: CoordinatorFolder) -> dict[bytes, str]:
    from server.network.admission import admitted_keys

    return admitted_keys(folder)
