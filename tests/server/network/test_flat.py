"""A middleware without streams does to a whole message what the same one does with them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Message, Receive, Scope, Send

from server.network.flat import Flat

PART, OTHER = "/v1/fleet/push-object", "/v1/fleet/send-node-heartbeat"
BODY = b"a part of a message" * 1000


class Usual(BaseHTTPMiddleware):
    """Reads the body, leaves a word for what is behind it, and adds a header to the answer."""

    async def dispatch(self, request: Request, call_next: Any) -> Response:
        body = await request.body()
        request.state.parsed = len(body)
        answer: Response = await call_next(request)
        answer.headers["x-left"] = str(request.state.left)
        return answer


class Refuses(BaseHTTPMiddleware):
    async def dispatch(self, request: Request, call_next: Any) -> Response:
        return JSONResponse({"detail": "no"}, 401)


class Translates(BaseHTTPMiddleware):
    """Makes an answer of an exception, as Flower's outermost layer does."""

    async def dispatch(self, request: Request, call_next: Any) -> Response:
        try:
            return await call_next(request)  # type: ignore[no-any-return]
        except LookupError as error:
            return JSONResponse({"detail": str(error)}, 404)


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Give the body back in two pieces, and say what the layers before have left."""
    request = Request(scope, receive)
    body = await request.body()
    if b"missing" in body:
        raise LookupError("there is none")
    if b"broken" in body:
        raise ValueError("broken")
    request.state.left = getattr(request.state, "parsed", 0) + 1
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-own", b"1")]})
    await send({"type": "http.response.body", "body": body[:7], "more_body": True})
    await send({"type": "http.response.body", "body": body[7:], "more_body": False})


def answered(app: Any, body: bytes, path: str = PART) -> tuple[int, list[Any], bytes]:
    pieces = [body[:5], body[5:]]
    said: list[Message] = []

    async def receive() -> Message:
        if not pieces:
            return {"type": "http.disconnect"}
        piece = pieces.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(pieces)}

    async def send(message: Message) -> None:
        said.append(message)

    scope = {"type": "http", "method": "POST", "path": path, "headers": [], "state": {}}
    asyncio.run(app(scope, receive, send))
    heads = [one for one in said if one["type"] == "http.response.start"]
    assert len(heads) == 1
    told = b"".join(one.get("body", b"") for one in said if one["type"] == "http.response.body")
    return heads[0]["status"], sorted(heads[0]["headers"]), told


LAYERS: dict[str, Callable[[Any], Any]] = {
    "one": lambda wrap: wrap(application, Usual),
    "two": lambda wrap: wrap(wrap(application, Usual), Translates),
    "function": lambda wrap: wrap(application, BaseHTTPMiddleware, dispatch=passes),
}


async def passes(request: Request, call_next: Any) -> Response:
    return await call_next(request)  # type: ignore[no-any-return]


def as_usual(app: Any, kind: Any, **given: Any) -> Any:
    return kind(app, **given)


@pytest.mark.parametrize("layers", list(LAYERS))
@pytest.mark.parametrize("path", [PART, OTHER])
def test_whole_messages_are_answered_as_streams_are(layers: str, path: str) -> None:
    made = LAYERS[layers]
    assert answered(made(Flat), BODY, path) == answered(made(as_usual), BODY, path)


def test_a_layer_may_refuse_without_what_is_behind_it() -> None:
    assert answered(Flat(application, Refuses), BODY) == answered(Refuses(application), BODY)


@pytest.mark.parametrize("wrap", [Flat, as_usual])
def test_an_exception_reaches_the_layers_before(wrap: Any) -> None:
    made = LAYERS["two"](wrap)
    assert answered(made, b"missing")[0] == 404
    with pytest.raises(ValueError, match="broken"):
        answered(made, b"broken")


def test_messages_do_not_pass_the_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: Any) -> None:
        raise AssertionError("a stream")

    monkeypatch.setattr(Usual, "__call__", fail)
    assert answered(Flat(application, Usual), BODY)[2] == BODY
    with pytest.raises(AssertionError, match="a stream"):
        answered(Flat(application, Usual), BODY, OTHER)


def test_a_sender_who_is_gone_gets_no_answer() -> None:
    said: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        said.append(message)

    scope = {"type": "http", "method": "POST", "path": PART, "headers": []}
    asyncio.run(Flat(application, Usual)(scope, receive, send))
    assert said == []


def test_an_application_that_says_nothing_is_an_error() -> None:
    async def silent(*_: Any) -> None:
        return

    with pytest.raises(RuntimeError, match="no answer"):
        answered(Flat(silent, BaseHTTPMiddleware, dispatch=passes), BODY)
