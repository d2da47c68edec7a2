"""One part of a message at a time, and what waits is in a file: with an application of our own."""

from __future__ import annotations

import asyncio
import errno
import os
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from server.network import in_turn as module
from server.network.in_turn import Aside, InTurn, Room

PUSH = "/v1/fleet/push-object"


async def ask(app: InTurn, path: str, *chunks: bytes, ends: bool = True) -> list[Any]:
    """Ask as a client does that sends its request in pieces; what came back."""
    requests = [
        {"type": "http.request", "body": one, "more_body": number < len(chunks) or not ends}
        for number, one in enumerate(chunks, 1)
    ]
    requests.append({"type": "http.disconnect"})
    said: list[Any] = []

    async def receive() -> Any:
        await asyncio.sleep(0)
        return requests.pop(0)

    async def send(message: Any) -> None:
        said.append(message)

    await app({"type": "http", "path": path}, receive, send)
    return said


class Echo:
    """Answers with what it was sent; counts how many it handles at once."""

    def __init__(self) -> None:
        self.inside = self.most = self.handled = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.inside += 1
        self.most = max(self.most, self.inside)
        await asyncio.sleep(0.001)
        body = (await receive())["body"]
        self.inside -= 1
        self.handled += 1
        await send({"type": "http.response.start", "status": 200, "headers": [(b"a", b"b")]})
        await send({"type": "http.response.body", "body": body})


def test_one_is_handled_at_a_time_and_each_gets_its_own_answer(tmp_path: Path) -> None:
    echo = Echo()
    app = InTurn(echo, tmp_path)
    app._room.left = module.PIECE_BYTES
    bodies = [os.urandom(3 * module.PIECE_BYTES + number) for number in range(8)]

    async def play() -> None:
        halves = [(body[:1000], body[1000:]) for body in bodies]
        found = await asyncio.gather(*(ask(app, PUSH, *one) for one in halves))
        for body, said in zip(bodies, found, strict=True):
            assert said[0] == {
                "type": "http.response.start", "status": 200, "headers": [(b"a", b"b")]
            }  # fmt: skip
            assert b"".join(one["body"] for one in said[1:]) == body
            assert [one["more_body"] for one in said[1:]][-2:] == [True, False]

    asyncio.run(play())
    assert (echo.most, echo.handled) == (1, len(bodies))
    assert list(tmp_path.iterdir()) == []


def test_a_slow_sender_keeps_nobody_waiting(tmp_path: Path) -> None:
    app = InTurn(Echo(), tmp_path)

    async def play() -> None:
        never: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        scope = {"type": "http", "path": PUSH}
        slow = asyncio.ensure_future(app(scope, lambda: never, lambda _: never))
        await asyncio.sleep(0)
        assert (await asyncio.wait_for(ask(app, PUSH, b"quick"), 5))[1]["body"] == b"quick"
        slow.cancel()

    asyncio.run(play())


def test_a_slow_taker_keeps_nobody_waiting(tmp_path: Path) -> None:
    app = InTurn(Echo(), tmp_path)

    async def play() -> None:
        never: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        async def receive() -> Any:
            return {"type": "http.request", "body": b"x"}

        scope = {"type": "http", "path": PUSH}
        slow = asyncio.ensure_future(app(scope, receive, lambda _: never))
        await asyncio.sleep(0.05)
        assert (await asyncio.wait_for(ask(app, PUSH, b"quick"), 5))[1]["body"] == b"quick"
        slow.cancel()

    asyncio.run(play())


def test_who_goes_before_the_end_is_not_handled(tmp_path: Path) -> None:
    echo = Echo()
    assert asyncio.run(ask(InTurn(echo, tmp_path), PUSH, b"half", ends=False)) == []
    assert echo.handled == 0


def test_what_is_not_in_turn_passes(tmp_path: Path) -> None:
    echo = Echo()
    app = InTurn(echo, tmp_path)

    async def play() -> None:
        await asyncio.gather(*(ask(app, "/health", b"x") for _ in range(3)))

    asyncio.run(play())
    assert echo.most == 3


@pytest.mark.parametrize("left", [0, 150_000, module.MEMORY_BYTES])
@pytest.mark.parametrize("size", [0, 1, module.PIECE_BYTES, 5 * module.PIECE_BYTES + 3])
def test_what_waits_comes_back_whole(tmp_path: Path, size: int, left: int) -> None:
    content = os.urandom(size)
    room = Room(tmp_path, left)
    with closing(Aside(room)) as aside:
        for start in range(0, size, 100_000):
            aside.write(content[start : start + 100_000])
            assert b"".join(aside.pieces()) == content[: start + 100_000]
        assert b"".join(aside.pieces()) == content
        assert max(map(len, aside.pieces()), default=0) <= module.PIECE_BYTES
        assert 0 <= room.left <= left
    assert room.left == left


def test_all_that_waits_has_one_room(tmp_path: Path) -> None:
    room = Room(tmp_path, 1000)
    with closing(Aside(room)) as first, closing(Aside(room)) as second:
        first.write(bytes(900))
        second.write(bytes(900))
        assert (first._file is None, second._file is None) == (True, False)
        assert room.left == 100


def test_a_full_disk_makes_it_wait_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = os.urandom(4 * module.PIECE_BYTES)
    real, space = os.write, [100_000]

    def write(file: int, data: memoryview) -> int:
        if not space:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(file, bytes(data[: space.pop()]))

    monkeypatch.setattr(module.os, "write", write)
    with closing(Aside(Room(tmp_path, 300_000))) as aside:
        for start in range(0, len(content), 200_000):
            aside.write(content[start : start + 200_000])
        assert b"".join(aside.pieces()) == content
