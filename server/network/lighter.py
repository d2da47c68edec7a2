"""What Flower's SuperLink does at each request, without the part that has no effect here.

Seven of its nine middlewares act on one interface only, or on none without a plugin that is not
there, and look at every piece of a message to find that out.
"""

from __future__ import annotations

from typing import Any

from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from common.flower_source import changed
from server.network.direct import READ as HANDLERS
from server.network.direct import Direct
from server.network.flat import READ as STREAMING
from server.network.flat import Flat
from server.network.guard import Family

_CONTROL = "flwr.superlink.routers.control.middlewares"
_FLEET = "flwr.superlink.routers.fleet"
_TRACING = "flwr.supercore.routers.runtime.tracing:RuntimeTracingMiddleware"
NOWHERE = "nowhere"
FOR = {
    f"{_CONTROL}:ControlSensitiveResponseMiddleware": Family.CONTROL.value,
    f"{_CONTROL}:ControlAuthenticationMiddleware": Family.CONTROL.value,
    f"{_CONTROL}:ControlLicenseMiddleware": Family.CONTROL.value,
    f"{_CONTROL}:ControlEventLogMiddleware": Family.CONTROL.value,
    f"{_FLEET}.node_auth:NodeAuthMiddleware": Family.FLEET.value,
    # It has no plugin to write events with: see `flower_application`.
    f"{_FLEET}.middlewares:FleetEventLogMiddleware": NOWHERE,
    _TRACING: Family.RUNTIME.value,
}
"""Where each middleware acts, by how the path begins; elsewhere it is passed by."""
READ = {
    f"{_CONTROL}:ControlSensitiveResponseMiddleware": "25cca9386003",
    f"{_CONTROL}:ControlAuthenticationMiddleware": "1495e41d9bbb",
    f"{_CONTROL}:ControlLicenseMiddleware": "0f57194171e9",
    f"{_CONTROL}:ControlEventLogMiddleware": "d8db2d506ca7",
    f"{_CONTROL}:_is_control_path": "bfb5469e9013",
    f"{_CONTROL}:_is_control_auth_route": "29389e405457",
    f"{_CONTROL}:_is_control_sensitive_route": "aae3ed426e1e",
    f"{_FLEET}.node_auth:NodeAuthMiddleware": "36b9ef8b482a",
    f"{_FLEET}.middlewares:FleetEventLogMiddleware": "4466ecde96fb",
    _TRACING: "4f574b47f7f3",
    "flwr.supercore.protobuf.translation:ProtobufTranslationMiddleware": "5ff23a6fdd06",
    "flwr.supercore.error.http:http_error_translator": "63e39a121204",
}
"""The hash of the source of each as it was read."""


class Only:
    """A middleware that is passed by unless a request's path begins with `where`."""

    def __init__(self, app: ASGIApp, kind: Any, where: str) -> None:
        self.passed_by = app
        self.app: ASGIApp = Flat(app, kind)
        self.where = where

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, to the middleware or to what is behind it."""
        other = scope["type"] == "http" and not scope["path"].startswith(self.where)
        await (self.passed_by if other else self.app)(scope, receive, send)


def lighten(application: Any) -> bool:
    """Let each middleware see only what it acts on, without a stream; say whether this was done.

    It is not done to another Flower than the one whose source was read.
    """
    if changed(READ) or changed(STREAMING) or changed(HANDLERS):
        return False
    where = {place.partition(":")[2]: path for place, path in FOR.items()}
    held: list[Middleware] = application.user_middleware
    held[:] = [
        Middleware(Only, one.cls, where[one.cls.__name__])  # type: ignore[attr-defined]
        if one.cls.__name__ in where  # type: ignore[attr-defined]
        else Middleware(Flat, one.cls, *one.args, **one.kwargs)  # type: ignore[arg-type]
        for one in held
    ]
    held.append(Middleware(Direct))
    return True
