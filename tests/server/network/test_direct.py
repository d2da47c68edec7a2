"""The straight way to Flower's handlers answers as FastAPI's routes do, whatever comes."""

from __future__ import annotations

import asyncio
import datetime
from base64 import b64encode
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from fastapi import FastAPI
from flwr.proto.message_pb2 import PullObjectRequest, PullObjectResponse
from flwr.proto.node_pb2 import Node
from flwr.proto.task_pb2 import Task
from flwr.supercore.error import ApiErrorCode, FlowerError
from flwr.supercore.primitives.asymmetric import public_key_to_bytes, sign_message
from flwr.supercore.protobuf.translation import PROTOBUF_REQUEST_TYPES
from flwr.supercore.routers.runtime import create_runtime_router
from flwr.supercore.runtime_version_compatibility import RuntimeVersionMetadata
from flwr.superlink.main import _get_middleware
from flwr.superlink.routers.fleet.router import router as fleet_router
from flwr.superlink.servicer.fleet import fleet_handlers

from server.network import direct
from server.network.direct import Direct
from server.network.in_turn import IN_TURN
from server.network.lighter import lighten

NODE, TOKEN = 7, "the token of a task"
KEY = ec.generate_private_key(ec.SECP384R1())
OTHER_KEY = ec.generate_private_key(ec.SECP384R1())
PULL = "/v1/fleet/pull-object", "/v1/runtime/pull-object"


class State:
    """What Flower's SuperLink keeps, as far as it is asked who speaks."""

    def get_node_id_by_public_key(self, key: bytes) -> int | None:
        return NODE if key == public_key_to_bytes(KEY.public_key()) else None

    def get_task_by_token(self, token: str) -> Task | None:
        return Task(task_id=1, run_id=2) if token == TOKEN else None

    @property
    def object_store(self) -> str:
        return "the store"


class Handlers:
    """Stand in for both families of handlers, and note what reaches them."""

    def __init__(self) -> None:
        self.reached: list[Any] = []
        self.raises: Exception | None = None

    def __getattr__(self, name: str) -> Any:
        def handle(*positional: Any, **named: Any) -> PullObjectResponse:
            shown = [*positional, *(named[key] for key in sorted(named))]
            self.reached.append((name, [one for one in shown if not isinstance(one, State)]))
            if self.raises is not None:
                raise self.raises
            return PullObjectResponse(object_found=True, object_content=b"content" * 1000)

        return handle


@pytest.fixture
def handlers(monkeypatch: pytest.MonkeyPatch) -> Handlers:
    found = Handlers()
    for path in IN_TURN:
        name = path.rpartition("/")[2].replace("-", "_")
        monkeypatch.setattr(fleet_handlers, name, getattr(found, name))
    return found


def superlink(handlers: Handlers, light: bool) -> FastAPI:
    """Flower's application with its middlewares and the routes of messages."""
    app = FastAPI(middleware=_get_middleware())
    app.state.linkstate_factory = app.state.runtime_state_factory = SimpleNamespace(state=State)
    app.state.runtime_handlers = handlers
    app.state.enable_supernode_auth = True
    app.state.fleet_event_log_plugin = app.state.control_event_log_plugin = None
    app.include_router(fleet_router)
    app.include_router(create_runtime_router("SuperLink"))
    if light:
        assert lighten(app)
        assert app.user_middleware[-1].cls is Direct
    return app


def signed(key: ec.EllipticCurvePrivateKey) -> dict[str, str]:
    time = datetime.datetime.now(datetime.UTC).isoformat()
    return {
        "flwr-public-key": b64encode(public_key_to_bytes(key.public_key())).decode(),
        "flwr-timestamp": time,
        "flwr-signature": b64encode(sign_message(key, time.encode())).decode(),
    }


def versions(release: str) -> dict[str, str]:
    spoken = RuntimeVersionMetadata.from_local_component("x", package_version_value=release)
    return dict(spoken.as_metadata())


PROTOBUF = {"content-type": "application/protobuf"}


def speaker(path: str) -> dict[str, str]:
    """Headers of whoever may ask for a path; a signature holds for minutes only."""
    return signed(KEY) if path.startswith("/v1/fleet/") else {"flwr-task-token": TOKEN}


def asked(app: FastAPI, path: str, **how: Any) -> tuple[int, dict[str, str], bytes]:
    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            return await client.request(how.pop("method", "POST"), path, **how)

    answer = asyncio.run(ask())
    return answer.status_code, dict(answer.headers), answer.content


def both(handlers: Handlers, path: str, **how: Any) -> tuple[int, dict[str, str], bytes]:
    """Ask by the routes and straight; the answers, and what reached the handlers, are the same."""
    found = []
    for light in (False, True):
        handlers.reached.clear()
        answer = asked(superlink(handlers, light), path, **how)
        found.append((answer, list(handlers.reached)))
    assert found[0] == found[1]
    return found[0][0]


def body_for(path: str) -> bytes:
    request = PROTOBUF_REQUEST_TYPES["POST", path]()
    if "node" in request.DESCRIPTOR.fields_by_name:
        request.node.CopyFrom(Node(node_id=NODE))
    if isinstance(request, PullObjectRequest):
        request.object_id = "an object"
    return request.SerializeToString()


@pytest.mark.parametrize("path", sorted(IN_TURN))
def test_each_request_reaches_its_handler(handlers: Handlers, path: str) -> None:
    status, headers, _ = both(
        handlers, path, content=body_for(path), headers=PROTOBUF | speaker(path)
    )
    assert status == 200
    assert headers["content-type"] == "application/protobuf"
    assert [name for name, _ in handlers.reached] == [path.rpartition("/")[2].replace("-", "_")]


@pytest.mark.parametrize("path", PULL)
@pytest.mark.parametrize(
    ("what", "status"),
    [
        ({"headers": PROTOBUF}, 401),
        ({"headers": PROTOBUF | {"flwr-task-token": "another"}}, 401),
        ({"headers": PROTOBUF | {"flwr-public-key": "AAAA"}}, 401),
        ({"headers": {"content-type": "application/json"}}, 415),
        ({"headers": PROTOBUF, "content": b"\xff\xff"}, 400),
        ({"method": "GET"}, 405),
    ],
)
def test_who_must_not_be_heard_is_not(
    handlers: Handlers, path: str, what: dict[str, Any], status: int
) -> None:
    assert both(handlers, path, **{"content": body_for(path)} | what)[0] == status
    assert handlers.reached == []


def test_a_node_that_nobody_knows_is_not_heard(handlers: Handlers) -> None:
    headers = PROTOBUF | signed(OTHER_KEY)
    assert both(handlers, PULL[0], content=body_for(PULL[0]), headers=headers)[0] == 401
    assert handlers.reached == []


def test_two_tokens_are_none(handlers: Handlers) -> None:
    path = PULL[1]
    headers = [*PROTOBUF.items(), ("flwr-task-token", TOKEN), ("flwr-task-token", TOKEN)]
    assert both(handlers, path, content=body_for(path), headers=headers)[0] == 401
    assert handlers.reached == []


@pytest.mark.parametrize(("path", "status"), list(zip(PULL, (200, 412), strict=True)))
def test_another_version_is_heard_of_a_node_alone(
    handlers: Handlers, path: str, status: int
) -> None:
    headers = PROTOBUF | speaker(path) | versions("1.2.3")
    assert both(handlers, path, content=body_for(path), headers=headers)[0] == status
    assert bool(handlers.reached) is (status == 200)


@pytest.mark.parametrize("path", PULL)
@pytest.mark.parametrize(
    "error",
    [
        FlowerError(ApiErrorCode.LINKSTATE_NOT_INITIALIZED, "not yet"),
        ValueError("unforeseen"),
    ],
)
def test_what_a_handler_raises_is_told_alike(
    handlers: Handlers, path: str, error: Exception
) -> None:
    handlers.raises = error
    headers = PROTOBUF | speaker(path)
    status, _, content = both(handlers, path, content=body_for(path), headers=headers)
    assert status >= 500
    assert b"unforeseen" not in content


def test_the_rest_goes_by_the_routes(handlers: Handlers) -> None:
    path = "/v1/fleet/send-node-heartbeat"
    monkeyed = superlink(handlers, light=True)
    assert path not in IN_TURN
    assert asked(monkeyed, path, headers=PROTOBUF)[0] == 401
    assert asked(monkeyed, "/v1/fleet/nothing", headers=PROTOBUF)[0] == 404


def test_all_that_is_in_turn_is_known_and_was_read() -> None:
    assert set(Direct(FastAPI())._calls) == IN_TURN
    for path in IN_TURN:
        family, name = path.split("/")[2:]
        place = {"fleet": direct._FLEET, "runtime": direct._RUNTIME}[family]
        prefix = "fleet_" if family == "fleet" else ""
        assert f"{place}:{prefix}{name.replace('-', '_')}" in direct.READ
