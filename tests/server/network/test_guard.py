"""The guard, with made-up requests: a peer that is not this machine can be pretended here."""

from __future__ import annotations

import asyncio
import json
import logging
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from network_samples import make_folder, request_of

from common.identity import fingerprint, node_key
from server.network.guard import (
    KEY_HEADER,
    LARGEST_REQUEST,
    NODE_REFUSED,
    TIME_HEADER,
    TOKEN_HEADER,
    Family,
    Guard,
    family_of,
    fingerprint_of,
    is_loopback,
)
from server.network.superlink import flower_application

TOKEN = "a" * 64
FAR, HERE = "203.0.113.9", "127.0.0.1"
PASSED = 299


class Door:
    """A guard before an application that answers everything; `knock` gives status and answer."""

    def __init__(self, *keys: bytes, local_host: str = HERE) -> None:
        self.guard = Guard(self.application, TOKEN, lambda: keys, local_host)

    async def application(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": PASSED, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})

    def knock(self, path: str, peer: str | None = FAR, **headers: str) -> tuple[int, Any]:
        scope = {
            "type": "http",
            "path": path,
            "client": None if peer is None else (peer, 50000),
            "headers": [(k.replace("_", "-").encode(), v.encode()) for k, v in headers.items()],
        }
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        async def receive() -> Any:
            raise AssertionError("a refusal must not wait for what a stranger sends")

        asyncio.run(self.guard(scope, receive, send))
        return sent[0]["status"], json.loads(sent[1]["body"])


def signed(key: bytes, ahead: float = 0.0) -> dict[str, str]:
    time = (datetime.now(UTC) + timedelta(seconds=ahead)).isoformat()
    return {KEY_HEADER: b64encode(key).decode(), TIME_HEADER: time}


@pytest.fixture
def key(tmp_path: Path) -> bytes:
    return node_key(request_of(tmp_path, "tufts").public_key)


@pytest.mark.parametrize("peer", [FAR, "2001:db8::1", "::ffff:203.0.113.9", "10.0.0.1", None])
@pytest.mark.parametrize("path", ["/v1/control/start-run", "/v1/runtime/acquire-task"])
def test_from_elsewhere_there_is_no_control_and_no_runtime(path: str, peer: str | None) -> None:
    assert Door().knock(path, peer, **{TOKEN_HEADER: TOKEN}) == (404, {"detail": "Not found."})


@pytest.mark.parametrize("peer", [HERE, "127.0.0.2", "::1", "::ffff:127.0.0.1"])
def test_control_opens_here_with_the_token_only(peer: str) -> None:
    door = Door()
    assert door.knock("/v1/control/start-run", peer)[0] == 403
    assert door.knock("/v1/control/start-run", peer, **{TOKEN_HEADER: "b" * 64})[0] == 403
    assert door.knock("/v1/control/start-run", peer, **{TOKEN_HEADER: ""})[0] == 403
    assert door.knock("/v1/control/start-run", peer, **{TOKEN_HEADER: TOKEN})[0] == PASSED
    assert door.knock("/v1/runtime/acquire-task", peer)[0] == PASSED


@pytest.mark.parametrize("header", ["x_forwarded_for", "forwarded"])
def test_what_a_proxy_passes_on_is_not_from_here(header: str) -> None:
    headers = {header: HERE, TOKEN_HEADER: TOKEN}
    assert Door().knock("/v1/control/start-run", HERE, **headers)[0] == 404
    assert Door().knock("/v1/runtime/acquire-task", HERE, **headers)[0] == 404


def test_the_address_that_the_coordinator_listens_on_is_here_too() -> None:
    assert Door(local_host="192.0.2.9").knock("/v1/runtime/acquire-task", "192.0.2.9")[0] == PASSED
    assert Door().knock("/v1/runtime/acquire-task", "192.0.2.9")[0] == 404


@pytest.mark.parametrize(
    "path",
    ["/", "/docs", "/openapi.json", "/docs/oauth2-redirect", "/v1/fleet", "/v1/fleet/", "/v2/x",
     "/V1/control/start-run", "//v1/runtime/acquire-task", "/health/", "/v1/other/x"],
)  # fmt: skip
def test_nothing_else_is_there_for_anybody(path: str) -> None:
    for peer in (FAR, HERE):
        assert Door().knock(path, peer, **{TOKEN_HEADER: TOKEN})[0] == 404


def test_health_is_for_everybody() -> None:
    assert Door().knock("/health")[0] == PASSED


def test_a_site_with_an_admitted_key_gets_to_fleet(key: bytes) -> None:
    for path in ("/v1/fleet/activate-node", "/v1/fleet/pull-messages"):
        assert Door(key).knock(path, **signed(key))[0] == PASSED


def test_an_unknown_key_is_refused_and_both_sides_are_told_why(
    key: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    door, shown = Door(), fingerprint_of(key)
    for path in ("/v1/fleet/register-node", "/v1/fleet/activate-node"):
        status, answer = door.knock(path, **signed(key))
        assert status == 412
        assert answer["code"] == NODE_REFUSED
        assert shown in answer["extra"]
    assert door.knock("/v1/fleet/pull-messages", **signed(key))[0] == 401
    (told,) = [record.getMessage() for record in caplog.records]
    assert told.startswith(f"a node with the unknown key {shown} ({FAR}) was refused")
    assert "myofed coordinator admit" in told


@pytest.mark.parametrize("value", ["", "no base64!", b64encode(b"no key").decode()])
def test_without_a_key_there_is_no_fleet(value: str, key: bytes) -> None:
    headers = {KEY_HEADER: value} if value else {}
    assert Door(key).knock("/v1/fleet/pull-messages", **headers)[0] == 401
    assert Door(key).knock("/v1/fleet/register-node", **headers)[0] == 412


@pytest.mark.parametrize(("ahead", "passes"), [(0, 1), (4, 1), (-290, 1), (60, 0), (-600, 0)])
def test_a_clock_that_flower_would_not_bear_is_named(
    key: bytes, ahead: float, passes: bool, caplog: pytest.LogCaptureFixture
) -> None:
    status, answer = Door(key).knock("/v1/fleet/activate-node", **signed(key, ahead))
    assert (status == PASSED) is bool(passes)
    if not passes:
        way = "ahead of" if ahead > 0 else "behind"
        assert way in answer["extra"]
        assert "NTP" in answer["extra"]
        assert way in caplog.text


def test_refusals_are_logged_once_a_minute_and_hold_no_secret(
    key: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "myofed")
    door = Door()
    for _ in range(50):
        door.knock("/v1/control/start-run", HERE, **{TOKEN_HEADER: "wrong-token"})
        door.knock("/v1/control/start-run", FAR, **{TOKEN_HEADER: TOKEN})
        door.knock("/nowhere\n2026 forged line", FAR)
    assert len([one for one in caplog.records if one.name == "myofed.guard"]) == 3
    assert "wrong-token" not in caplog.text
    assert TOKEN not in caplog.text
    assert "/nowhere\\n2026" in caplog.text
    assert f"{FAR} was refused /v1/control/start-run" in caplog.text


def test_a_websocket_is_closed() -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "websocket", "path": "/v1/fleet/x", "client": (HERE, 1), "headers": []}
    asyncio.run(Door().guard(scope, None, send))  # type: ignore[arg-type]
    assert sent == [{"type": "websocket.close", "code": 1008}]


def test_fingerprints_are_those_of_the_site_s_side(tmp_path: Path) -> None:
    request = request_of(tmp_path, "tufts")
    assert fingerprint_of(node_key(request.public_key)) == fingerprint(request.public_key)
    assert not is_loopback("no address")


def test_every_route_of_flower_is_classified(tmp_path: Path) -> None:
    """A new Flower with another family of routes must be looked at before it is used."""
    from fastapi.routing import iter_route_contexts

    application = flower_application(make_folder(tmp_path / "coord"))
    found: dict[Family, set[str]] = {family: set() for family in Family}
    for context in iter_route_contexts(application.routes):
        path = getattr(context, "path", None) or context.route.path
        found[family_of(path)].add(path)
    assert found[Family.CLOSED] == {"/openapi.json", "/docs", "/docs/oauth2-redirect"}
    assert found[Family.HEALTH] == {"/health"}
    assert found[Family.FLEET] == {
        f"/v1/fleet/{name}"
        for name in (
            "register-node", "activate-node", "deactivate-node", "unregister-node",
            "send-node-heartbeat", "pull-messages", "push-messages", "get-run", "get-fab",
            "push-object", "pull-object", "confirm-message-received",
        )
    }  # fmt: skip
    assert "/v1/control/start-run" in found[Family.CONTROL]
    assert "/v1/runtime/acquire-task" in found[Family.RUNTIME]


def test_the_guard_knows_flower_s_headers_and_limits() -> None:
    from flwr.common.constant import (
        SYSTEM_TIME_TOLERANCE,
        TIMESTAMP_HEADER,
        TIMESTAMP_TOLERANCE,
    )
    from flwr.supercore.constant import FLEET_HTTP_PUBLIC_KEY_HEADER
    from flwr.supercore.error import ApiErrorCode, FlowerError

    from server.network import guard

    assert guard.KEY_HEADER == FLEET_HTTP_PUBLIC_KEY_HEADER
    assert guard.TIME_HEADER == TIMESTAMP_HEADER
    assert guard.AHEAD_SECONDS == SYSTEM_TIME_TOLERANCE
    assert guard.BEHIND_SECONDS == TIMESTAMP_TOLERANCE + SYSTEM_TIME_TOLERANCE
    assert guard.NODE_REFUSED == ApiErrorCode.FLEET_NODE_ACTIVATION_FAILED
    told = FlowerError.from_json(json.dumps(guard._refusal("because")))
    assert told is not None
    assert told.public_details == "because"


def test_a_site_that_says_it_sends_too_much_is_refused_before_it_does(
    key: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    door = Door(key)
    path = "/v1/fleet/push-object"
    most = {"content_length": str(LARGEST_REQUEST)}
    more = {"content_length": str(LARGEST_REQUEST + 1)}
    assert door.knock(path, **signed(key), **most)[0] == PASSED
    assert door.knock(path, **signed(key), **{"content_length": "many"})[0] == PASSED
    assert door.knock(path, **signed(key), **more) == (413, {"detail": "Too large."})
    assert "too large" in caplog.text


@pytest.mark.parametrize(("pieces", "seen"), [(4, 4), (5, 4)])
def test_a_site_that_sends_too_much_without_saying_so_is_as_good_as_gone(
    key: bytes, pieces: int, seen: int
) -> None:
    piece = bytes(LARGEST_REQUEST // 4)
    given = [{"type": "http.request", "body": piece, "more_body": True}] * pieces
    came: list[Any] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        for _ in range(pieces):
            came.append((await receive())["type"])

    async def receive() -> Any:
        return given.pop()

    async def send(message: Any) -> None:
        raise AssertionError("nothing is answered here")

    guard = Guard(application, TOKEN, lambda: [key], HERE)
    scope = {
        "type": "http",
        "path": "/v1/fleet/push-object",
        "client": (FAR, 50000),
        "headers": [(name.encode(), value.encode()) for name, value in signed(key).items()],
    }
    asyncio.run(guard(scope, receive, send))
    assert came.count("http.request") == seen
    assert came.count("http.disconnect") == pieces - seen
