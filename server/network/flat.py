"""A middleware of Starlette's around requests that come whole and answers that are kept whole.

Starlette lets a middleware stream: for each layer and request it starts two tasks with a channel
between them, a third of what the SuperLink does for a part of a message. Messages and their parts
are read whole before their turn (`in_turn`), so their layers can simply call each other.
"""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.network.asgi import read_request, replayed
from server.network.in_turn import IN_TURN

READ = {"starlette.middleware.base:BaseHTTPMiddleware": "42065087873e"}
"""What is done without, and the hash of its source as it was read."""


class Flat:
    """Does what a `BaseHTTPMiddleware` does; for whatever is no part of a message, by itself."""

    def __init__(self, app: ASGIApp, kind: Any, **given: Any) -> None:
        self._app = app
        self._usual = kind(app, **given)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the middleware judge the request and what is behind it answer."""
        if scope["type"] != "http" or scope["path"] not in IN_TURN:
            await self._usual(scope, receive, send)
            return
        body: list[bytes] = []
        if not await read_request(receive, body.append):
            return
        whole = b"".join(body)

        async def call_next(_: Request) -> Response:
            return await _answer(self._app, scope, replayed(whole, receive))

        response: Response = await self._usual.dispatch_func(
            Request(scope, replayed(whole, receive)), call_next
        )
        await response(scope, receive, send)


async def _answer(app: ASGIApp, scope: Scope, receive: Receive) -> Response:
    """Let an application answer, and keep all that it says."""
    heads: list[Message] = []
    pieces: list[bytes] = []

    async def keep(message: Message) -> None:
        if message["type"] == "http.response.start":
            heads.append(message)
        elif message["type"] == "http.response.body":
            pieces.append(message.get("body", b""))

    await app(scope, receive, keep)
    if not heads:
        raise RuntimeError("The SuperLink gave no answer.")
    response = Response(b"".join(pieces), status_code=heads[0]["status"])
    response.raw_headers = list(heads[0]["headers"])
    return response
