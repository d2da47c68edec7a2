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
