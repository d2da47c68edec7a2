"""What Flower's SuperLink does at each request, without the part that has no effect here.

Four of its nine middlewares act on the Control interface only, and look at every piece of a message
to find that it is not for them. SQLite, as Flower sets it up, copies each part of a message from
its log to the database at once, and Debian's overwrites with zeros what is deleted. On a round that
trains little that is a sixth of the SuperLink's work.
"""

from __future__ import annotations

from typing import Any

from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from common.flower_source import changed
from server.network.guard import Family

_CONTROL = "flwr.superlink.routers.control.middlewares"
READ = {
    f"{_CONTROL}:ControlSensitiveResponseMiddleware": "25cca9386003",
    f"{_CONTROL}:ControlAuthenticationMiddleware": "1495e41d9bbb",
    f"{_CONTROL}:ControlLicenseMiddleware": "0f57194171e9",
    f"{_CONTROL}:ControlEventLogMiddleware": "d8db2d506ca7",
    f"{_CONTROL}:_is_control_path": "bfb5469e9013",
    f"{_CONTROL}:_is_control_auth_route": "29389e405457",
    f"{_CONTROL}:_is_control_sensitive_route": "aae3ed426e1e",
}
"""The middlewares that are passed by, and the hash of the source of each as it was read."""

LOG_PAGES = 16_384
"""Pages of 4 KB after which SQLite copies its log to the database; by default 1,000, less than one
part of a message."""


class ControlOnly:
    """A middleware that is passed by unless a request is for Control."""

    def __init__(self, app: ASGIApp, kind: Any) -> None:
        self.passed_by = app
        self.app: ASGIApp = kind(app)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, to the middleware or to what is behind it."""
        other = scope["type"] == "http" and not scope["path"].startswith(Family.CONTROL.value)
        await (self.passed_by if other else self.app)(scope, receive, send)


def lighten(application: Any) -> bool:
    """Let each middleware for Control see nothing else; say whether this was done.

    It is not done to another Flower than the one whose source was read.
    """
    if changed(READ):
        return False
    names = {place.partition(":")[2] for place in READ}
    held: list[Middleware] = application.user_middleware
    held[:] = [
        Middleware(ControlOnly, one.cls) if one.cls.__name__ in names else one  # type: ignore[attr-defined]
        for one in held
    ]
    return True


def lighten_database() -> None:
    """Set up every SQLite database that this process opens from now on."""
    from sqlalchemy import Engine, event

    event.listen(Engine, "connect", set_up)


def set_up(connection: Any, _: object) -> None:
    """Set up a new connection to a SQLite database."""
    connection.execute(f"PRAGMA wal_autocheckpoint = {LOG_PAGES}")
    connection.execute("PRAGMA secure_delete = FAST")
