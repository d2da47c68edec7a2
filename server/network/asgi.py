"""What passes between a web server and its application (ASGI), and how a request is read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


async def read_request(receive: Receive, write: Callable[[bytes], None]) -> bool:
    """Hand all of a request to `write`, piece by piece; False if its sender has gone."""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return False
        write(message.get("body", b""))
        if not message.get("more_body", False):
            return True


def replayed(body: bytes, receive: Receive) -> Receive:
    """Give a request that was read whole to whoever asks again, and then what comes after it."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again
