"""Lets the SuperLink handle one message or part of a message at a time; the others wait.

All sites fetch a question and send their answers at the same moment. Flower copies each part, 5 MB
at most, several times while it handles it, so handled at once they would take memory for each site.
And those that write wait for the same lock of the database, which SQLite does by sleeping. Here
each waits for its turn, and what does not fit into a little memory waits in a file. Nobody on a
slow line has a turn before all of his request has come, or while he takes the answer.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from server.network.asgi import Application, Message, Receive, Scope, Send, read_request, replayed

MEMORY_BYTES = 2**24
"""What all that waits may take of memory."""
PIECE_BYTES = 2**18
"""How much of an answer is handed to a connection at once."""

IN_TURN = frozenset(
    f"/v1/{family}/{what}"
    for family in ("fleet", "runtime")
    for what in (
        "push-messages",
        "pull-messages",
        "push-object",
        "pull-object",
        "confirm-message-received",
    )
)


class InTurn:
    """Wraps the SuperLink's application. `folder` is where what waits is kept."""

    def __init__(self, app: Application, folder: Path) -> None:
        self.app = app
        self._room = Room(folder)
        self._turn = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, when it is its turn."""
        if scope["type"] != "http" or scope["path"] not in IN_TURN:
            await self.app(scope, receive, send)
            return
        with closing(Aside(self._room)) as request, closing(Aside(self._room)) as answer:
            if not await read_request(receive, request.write):
                return
            async with self._turn:
                start = await self._handled(scope, request, answer, receive)
            if start is None:
                return
            await send(start)
            for piece in answer.pieces():
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _handled(
        self, scope: Scope, request: Aside, answer: Aside, receive: Receive
    ) -> Message | None:
        """Let the application answer; give the head of what it says, and keep the rest."""
        head: Message | None = None

        async def keep(message: Message) -> None:
            nonlocal head
            if message["type"] == "http.response.start":
                head = message
            else:
                answer.write(message.get("body", b""))

        await self.app(scope, replayed(b"".join(request.pieces()), receive), keep)
        return head


@dataclass
class Room:
    """Where things wait: so many bytes of memory are left, and there is a folder for the rest."""

    folder: Path
    left: int = MEMORY_BYTES


class Aside:
    """Bytes that wait: in memory while there is room, the rest in a file that has no name.

    While the disk is full they wait in memory, all of them.
    """

    def __init__(self, room: Room) -> None:
        self._room = room
        self._first: list[bytes] = []
        self._file: IO[bytes] | None = None
        self._last: list[bytes] = []

    def close(self) -> None:
        """Let go of all that was written."""
        self._room.left += sum(map(len, self._first))
        if self._file is not None:
            self._file.close()

    def write(self, content: bytes) -> None:
        """Add to what waits."""
        if self._file is None and len(content) <= self._room.left:
            self._room.left -= len(content)
            self._first.append(content)
            return
        rest = memoryview(content)
        try:
            if self._file is None:
                self._file = TemporaryFile(dir=self._room.folder, buffering=0)  # noqa: SIM115
            while rest and not self._last:
                rest = rest[os.write(self._file.fileno(), rest) :]
        except OSError:
            pass
        if rest:
            self._last.append(bytes(rest))

    def pieces(self) -> Iterator[bytes]:
        """Give all that was written, from the beginning."""
        yield from _cut(self._first)
        if self._file is not None:
            self._file.seek(0)
            while piece := self._file.read(PIECE_BYTES):
                yield piece
            self._file.seek(0, os.SEEK_END)
        yield from _cut(self._last)


def _cut(held: Iterable[bytes]) -> Iterator[bytes]:
    for content in held:
        for start in range(0, len(content), PIECE_BYTES):
            yield content[start : start + PIECE_BYTES]
