"""What is passed by, what is not, and how the database is set up."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, event, text
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware

from server.network import lighter as module
from server.network.lighter import ControlOnly, lighten, lighten_database


class Marks:
    """A middleware of the kind that is wrapped: it marks each request that it sees."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        scope.setdefault("seen", []).append("marks")
        await self.app(scope, receive, send)


@pytest.mark.parametrize(
    ("kind", "path", "seen"),
    [
        ("http", "/v1/control/start-run", True),
        ("http", "/v1/fleet/push-object", False),
        ("http", "/v1/runtime/pull-messages", False),
        ("http", "/health", False),
        ("lifespan", "", True),
    ],
)
def test_a_middleware_for_control_sees_what_is_for_control(
    kind: str, path: str, seen: bool
) -> None:
    reached: list[Any] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        reached.append(scope)

    async def play() -> None:
        await ControlOnly(application, Marks)({"type": kind, "path": path}, None, None)  # type: ignore[arg-type]

    asyncio.run(play())
    assert len(reached) == 1
    assert ("seen" in reached[0]) is seen


class Application:
    """Has the middlewares that Flower gives its SuperLink."""

    def __init__(self) -> None:
        from flwr.superlink.main import _get_middleware

        self.user_middleware: list[Middleware] = _get_middleware()


def test_only_the_middlewares_for_control_are_wrapped() -> None:
    before, after = Application(), Application()
    assert lighten(after)
    for one, other in zip(before.user_middleware, after.user_middleware, strict=True):
        name = one.cls.__name__  # type: ignore[attr-defined]
        if name.startswith("Control"):
            assert (other.cls, other.args) == (ControlOnly, (one.cls,))
        else:
            assert other.cls is one.cls
    kinds = [one.cls for one in after.user_middleware]
    assert kinds.count(ControlOnly) == 4
    assert BaseHTTPMiddleware in kinds


def test_another_flower_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    place = next(iter(module.READ))
    monkeypatch.setitem(module.READ, place, "another")
    application = Application()
    assert not lighten(application)
    assert ControlOnly not in [one.cls for one in application.user_middleware]


def test_databases_opened_from_now_on_are_set_up(tmp_path: Path) -> None:
    lighten_database()
    try:
        engine = create_engine(f"sqlite:///{tmp_path / 'state.db'}")
        with engine.connect() as connection:
            pages = connection.execute(text("PRAGMA wal_autocheckpoint")).scalar()
            deleted = connection.execute(text("PRAGMA secure_delete")).scalar()
        engine.dispose()
    finally:
        event.remove(Engine, "connect", module.set_up)
    assert (pages, deleted) == (module.LOG_PAGES, 2)
    with sqlite3.connect(tmp_path / "state.db") as other:
        assert other.execute("PRAGMA wal_autocheckpoint").fetchone() == (1000,)
