"""Messages and their parts on the straight way to Flower's handlers, past FastAPI's routes.

For each request FastAPI compares its path with some eighty routes and solves a dozen dependencies,
several of them in a thread of their own: a third of what the SuperLink does for a small part. What
those dependencies decide is decided here by the same functions of Flower's, in the same order: the
version and the token of whoever speaks for a run. A node's signature was looked at before, by
Flower's middleware.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from server.network.guard import Family
from server.network.in_turn import IN_TURN

_FLEET = "flwr.superlink.routers.fleet.router"
_RUNTIME = "flwr.supercore.routers.runtime.router"
_DEPENDENCIES = "flwr.supercore.dependencies"
READ = {
    f"{_FLEET}:fleet_push_messages": "925bc195db09",
    f"{_FLEET}:fleet_pull_messages": "0f9739ecca2a",
    f"{_FLEET}:fleet_push_object": "1910dcd9cc2f",
    f"{_FLEET}:fleet_pull_object": "a9210ac81ae6",
    f"{_FLEET}:fleet_confirm_message_received": "8a8b7dda0eff",
    f"{_RUNTIME}:push_messages": "195c0dab8d02",
    f"{_RUNTIME}:pull_messages": "ef2d4efa5322",
    f"{_RUNTIME}:push_object": "cea29ed48616",
    f"{_RUNTIME}:pull_object": "fa0eb2697dd4",
    f"{_RUNTIME}:confirm_message_received": "29d84ee73caa",
    f"{_RUNTIME}:create_runtime_router": "304f992bd83b",
    f"{_DEPENDENCIES}.version:VersionDependency": "e028ba91776f",
    f"{_DEPENDENCIES}.runtime:get_runtime_state": "4f4a1ca5e8a5",
    f"{_DEPENDENCIES}.runtime:get_runtime_handlers": "e05c10d6e876",
    f"{_DEPENDENCIES}.runtime:get_task": "2ef297c4e538",
    f"{_DEPENDENCIES}.task:authenticate_task": "7b4c0c58ea91",
    "flwr.superlink.dependencies.linkstate:get_linkstate": "a5afb79e372f",
    "flwr.supercore.protobuf.routing:ProtobufRoute": "c120a41bd5d5",
    "flwr.supercore.protobuf.translation:get_protobuf_request": "18199cad8d14",
}
"""What is called or done without, and the hash of the source of each as it was read."""

Call = Callable[[Request], Any]


class Direct:
    """The innermost middleware: it answers what concerns messages, and passes on the rest."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._calls = {path: _call_of(path) for path in IN_TURN}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let Flower's handler answer; its answer is where Flower's translation looks for it."""
        call = self._calls.get(scope["path"]) if scope["type"] == "http" else None
        if call is None or scope["method"] != "POST":
            await self.app(scope, receive, send)
            return
        request = Request(scope, receive)
        request.state.protobuf_response = await run_in_threadpool(call, request)
        await Response()(scope, receive, send)


def _call_of(path: str) -> Call:
    """Give what answers requests for a path."""
    name = path.rpartition("/")[2].replace("-", "_")
    if path.startswith(Family.FLEET.value):
        return _of_a_node(getattr(importlib.import_module(_FLEET), f"fleet_{name}"))
    return _of_a_run(getattr(importlib.import_module(_RUNTIME), name))


def _of_a_node(endpoint: Callable[..., Any]) -> Call:
    from flwr.supercore.protobuf.translation import get_protobuf_request
    from flwr.superlink.dependencies.linkstate import get_linkstate

    def call(request: Request) -> Any:
        # Of another version of Flower a node is heard all the same: nothing to look at here.
        return endpoint(request=get_protobuf_request(request), state=get_linkstate(request))

    return call


def _of_a_run(endpoint: Callable[..., Any]) -> Call:
    from flwr.supercore.constant import TASK_TOKEN_HEADER
    from flwr.supercore.dependencies.runtime import (
        get_runtime_handlers,
        get_runtime_state,
        get_task,
    )
    from flwr.supercore.dependencies.version import VersionDependency
    from flwr.supercore.protobuf.translation import get_protobuf_request

    require_version = VersionDependency(
        component_name="SuperLink", connection_name="Caller <-> SuperLink Runtime API"
    )

    def call(request: Request) -> Any:
        require_version(request)
        state = get_runtime_state(request)
        task = get_task(request, request.headers.get(TASK_TOKEN_HEADER), state)
        return endpoint(
            request=get_protobuf_request(request),
            state=state,
            handlers=get_runtime_handlers(request),
            task=task,
        )

    return call
