"""What is passed by, and what is not."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.middleware import Middleware

from server.network import lighter as module
from server.network.direct import Direct
from server.network.flat import Flat
from server.network.lighter import FOR, NOWHERE, Only, lighten


class Marks:
    """A middleware of the kind that is wrapped: it marks each request that it sees."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        scope.setdefault("seen", []).append("marks")
        await self.app(scope, receive, send)


@pytest.mark.parametrize(
    ("where", "kind", "path", "seen"),
    [
        ("/v1/control/", "http", "/v1/control/start-run", True),
        ("/v1/control/", "http", "/v1/fleet/push-object", False),
        ("/v1/control/", "http", "/health", False),
        ("/v1/control/", "lifespan", "", True),
        ("/v1/fleet/", "http", "/v1/fleet/send-node-heartbeat", True),
        ("/v1/fleet/", "http", "/v1/runtime/pull-messages", False),
        (NOWHERE, "http", "/v1/fleet/push-object", False),
    ],
)
def test_a_middleware_sees_what_it_acts_on(where: str, kind: str, path: str, seen: bool) -> None:
    reached: list[Any] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        reached.append(scope)

    async def play() -> None:
        await Only(application, Marks, where)({"type": kind, "path": path}, None, None)  # type: ignore[arg-type]

    asyncio.run(play())
    assert len(reached) == 1
    assert ("seen" in reached[0]) is seen


class Application:
    """Has the middlewares that Flower gives its SuperLink."""

    def __init__(self) -> None:
        from flwr.superlink.main import _get_middleware

        self.user_middleware: list[Middleware] = _get_middleware()


def test_each_middleware_for_one_interface_is_wrapped() -> None:
    before, after = Application(), Application()
    assert lighten(after)
    where = {place.partition(":")[2]: path for place, path in FOR.items()}
    *held, last = after.user_middleware
    assert last.cls is Direct
    for one, other in zip(before.user_middleware, held, strict=True):
        name = one.cls.__name__  # type: ignore[attr-defined]
        if name in where:
            assert (other.cls, other.args) == (Only, (one.cls, where[name]))
        else:
            assert (other.cls, other.args) == (Flat, (one.cls, *one.args))
            assert other.kwargs == one.kwargs
    kinds = [one.cls for one in held]
    assert kinds.count(Only) == len(FOR)
    assert kinds.count(Flat) == len(kinds) - len(FOR)


def test_another_flower_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    place = next(iter(module.READ))
    monkeypatch.setitem(module.READ, place, "another")
    application = Application()
    assert not lighten(application)
    assert Only not in [one.cls for one in application.user_middleware]
