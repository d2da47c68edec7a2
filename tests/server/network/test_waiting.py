"""Questions that are kept until there is something: by Flower's own words, over a made-up link."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from flwr.proto.fleet_pb2 import (
    PullMessagesRequest,
    PullMessagesResponse,
    PushMessagesRequest,
    PushMessagesResponse,
)
from flwr.proto.message_pb2 import Message, Metadata, PushObjectResponse
from flwr.proto.node_pb2 import Node
from flwr.proto.runtime_pb2 import (
    AcquireTaskRequest,
    AcquireTaskResponse,
    PushAppMessagesRequest,
    PushAppMessagesResponse,
)
from flwr.proto.task_pb2 import Task

from server.network import waiting as module
from server.network.account import Account
from server.network.guard import KEY_HEADER
from server.network.waiting import Waiting

ALPHA, BETA = 7, 8
DAMAGED = b"\xff\xff"


class SuperLink:
    """Hands each message out once, as Flower's does; parts of messages it merely counts."""

    def __init__(self, path: Path) -> None:
        self.account = Account(path)
        self.ends = False
        self.app = Waiting(self.application, self.account, lambda: self.ends)
        self.there: dict[int, list[str]] = {}
        self.tasks: list[Task] = []
        self.parts = 2
        self.stores = True
        self.status = 200
        self.asked: list[str] = []

    async def application(self, scope: Any, receive: Any, send: Any) -> None:
        request = await receive()
        self.asked.append(scope["path"])
        answer = self.answer(scope["path"], request["body"])
        await send({"type": "http.response.start", "status": self.status, "headers": []})
        await send({"type": "http.response.body", "body": answer})

    def answer(self, path: str, body: bytes) -> bytes:
        if path == "/v1/fleet/pull-messages":
            node = 0 if body == DAMAGED else PullMessagesRequest.FromString(body).node.node_id
            held = self.there.get(node, [])
            given = [held.pop(0)] if held else []
            found = [Message(metadata=Metadata(message_id=one)) for one in given]
            return PullMessagesResponse(messages_list=found).SerializeToString()
        if path == "/v1/runtime/push-messages" and self.status == 200:
            for one in PushAppMessagesRequest.FromString(body).messages_list:
                self.there.setdefault(one.metadata.dst_node_id, []).append(one.metadata.message_id)
            parts = [str(number) for number in range(self.parts)]
            return PushAppMessagesResponse(objects_to_push=parts).SerializeToString()
        if path == "/v1/fleet/push-messages":
            parts = [str(number) for number in range(self.parts)]
            return PushMessagesResponse(objects_to_push=parts).SerializeToString()
        if path.endswith("/push-object"):
            return PushObjectResponse(stored=self.stores).SerializeToString()
        if path == "/v1/runtime/acquire-task" and self.tasks:
            return AcquireTaskResponse(task=self.tasks.pop(), token="t").SerializeToString()
        return b""

    async def ask(
        self, path: str, body: bytes = b"", key: str = "", gone: asyncio.Event | None = None
    ) -> bytes | None:
        """Ask as a client does; None if nothing came back."""
        messages = [{"type": "http.request", "body": body, "more_body": False}]
        sent: list[Any] = []

        async def receive() -> Any:
            if messages:
                return messages.pop()
            await (gone or asyncio.Event()).wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "http", "path": path, "headers": [(KEY_HEADER.encode(), key.encode())]}
        await self.app(scope, receive, send)
        return b"".join(one.get("body", b"") for one in sent) if sent else None

    async def pull(self, node: int, gone: asyncio.Event | None = None) -> list[str] | None:
        body = PullMessagesRequest(node=Node(node_id=node)).SerializeToString()
        found = await self.ask("/v1/fleet/pull-messages", body, gone=gone)
        if found is None:
            return None
        messages = PullMessagesResponse.FromString(found).messages_list
        return [one.metadata.message_id for one in messages]

    async def push(self, *messages: tuple[str, int]) -> None:
        """Push as the ServerApp does, every part of what is announced."""
        found = [Message(metadata=Metadata(message_id=a, dst_node_id=b)) for a, b in messages]
        body = PushAppMessagesRequest(messages_list=found).SerializeToString()
        await self.ask("/v1/runtime/push-messages", body)
        for _ in range(self.parts):
            await self.ask("/v1/runtime/push-object")

    async def answer_to(self, one: str, node: int, parts: int | None = None) -> None:
        """Answer as a node does."""
        found = [Message(metadata=Metadata(message_id="r" + one, reply_to_message_id=one))]
        request = PushMessagesRequest(node=Node(node_id=node), messages_list=found)
        await self.ask("/v1/fleet/push-messages", request.SerializeToString(), str(node))
        for _ in range(self.parts if parts is None else parts):
            await self.ask("/v1/fleet/push-object", key=str(node))


@pytest.fixture
def superlink(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SuperLink:
    monkeypatch.setattr(module, "HELD_SECONDS", 30.0)
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.01)
    return SuperLink(tmp_path / "messages.log")


def told(superlink: SuperLink, kind: str) -> list[str]:
    lines = superlink.account._file.name
    return [
        line.split()[1] for line in Path(lines).read_text().splitlines() if line.startswith(kind)
    ]


def run(play: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(play(), 20))  # type: ignore[arg-type]


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def test_who_asks_early_gets_the_message_when_all_its_parts_are_there(
    superlink: SuperLink,
) -> None:
    async def play() -> None:
        waits = asyncio.ensure_future(superlink.pull(ALPHA))
        other = asyncio.ensure_future(superlink.pull(BETA))
        await settled()
        superlink.parts = 1
        await superlink.push(("a", ALPHA))
        assert await waits == ["a"]
        assert not other.done()
        assert superlink.asked.count("/v1/fleet/pull-messages") == 3
        other.cancel()

    run(play)


def test_a_message_without_parts_wakes_at_once(superlink: SuperLink) -> None:
    async def play() -> None:
        superlink.parts = 0
        waits = asyncio.ensure_future(superlink.pull(ALPHA))
        await settled()
        await superlink.push(("a", ALPHA))
        assert await waits == ["a"]

    run(play)


def test_a_question_is_kept_for_so_long_and_no_longer(
    superlink: SuperLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HELD_SECONDS", 0.05)

    async def play() -> None:
        assert await superlink.pull(ALPHA) == []
        assert superlink.asked.count("/v1/fleet/pull-messages") == 1

    run(play)


def test_the_end_of_the_superlink_lets_all_go(superlink: SuperLink) -> None:
    async def play() -> None:
        waits = asyncio.ensure_future(superlink.pull(ALPHA))
        await settled()
        superlink.ends = True
        assert await waits == []

    run(play)


def test_nothing_is_handed_out_to_who_has_gone(superlink: SuperLink) -> None:
    async def play() -> None:
        gone = asyncio.Event()
        waits = asyncio.ensure_future(superlink.pull(ALPHA, gone))
        await settled()
        gone.set()
        assert await waits is None
        await superlink.push(("a", ALPHA))
        assert superlink.there[ALPHA] == ["a"]
        assert await superlink.pull(ALPHA) == ["a"]

    run(play)


def test_an_idle_node_with_an_unanswered_message_has_lost_it(superlink: SuperLink) -> None:
    async def play() -> None:
        await superlink.push(("a", ALPHA), ("b", BETA))
        assert await superlink.pull(ALPHA) == ["a"]
        # The answer of the SuperLink never arrives: the node asks again.
        again = asyncio.ensure_future(superlink.pull(ALPHA))
        await settled()
        assert told(superlink, "lost") == ["a"]
        await superlink.push(("a2", ALPHA))
        assert await again == ["a2"]
        assert await superlink.pull(BETA) == ["b"]
        assert told(superlink, "lost") == ["a"]

    run(play)


def test_an_answer_counts_when_all_its_parts_are_there(superlink: SuperLink) -> None:
    async def play() -> None:
        await superlink.push(("a", ALPHA), ("b", BETA))
        for node in (ALPHA, BETA):
            await superlink.pull(node)
        await superlink.answer_to("a", ALPHA, parts=1)
        await superlink.answer_to("b", BETA)
        assert told(superlink, "answered") == ["b"]
        # Half an answer, and the node asks for the next message: it has given up.
        waits = asyncio.ensure_future(superlink.pull(ALPHA))
        await settled()
        assert told(superlink, "lost") == ["a"]
        waits.cancel()

    run(play)


def test_half_a_message_of_a_superlink_that_was_killed_is_not_handed_out(
    superlink: SuperLink,
) -> None:
    async def play() -> None:
        await superlink.push(("whole", ALPHA))
        parts, superlink.parts = superlink.parts, 3
        found = [Message(metadata=Metadata(message_id="half", dst_node_id=ALPHA))]
        request = PushAppMessagesRequest(messages_list=found)
        await superlink.ask("/v1/runtime/push-messages", request.SerializeToString())
        superlink.parts = parts
        path = Path(superlink.account._file.name)
        superlink.account = superlink.app.account = Account(path)
        superlink.there[ALPHA].sort()
        assert superlink.there[ALPHA] == ["half", "whole"]
        assert await superlink.pull(ALPHA) == ["whole"]
        assert told(superlink, "lost") == ["half"]

    run(play)


def test_a_part_that_the_superlink_could_not_store_does_not_count(superlink: SuperLink) -> None:
    async def play() -> None:
        await superlink.push(("a", ALPHA))
        await superlink.pull(ALPHA)
        superlink.stores = False
        await superlink.answer_to("a", ALPHA)
        assert told(superlink, "answered") == []
        superlink.stores = True
        await superlink.answer_to("a", ALPHA)
        assert told(superlink, "answered") == ["a"]

    run(play)


def test_what_the_superlink_did_not_take_is_not_lost(superlink: SuperLink) -> None:
    async def play() -> None:
        superlink.status = 503
        await superlink.push(("a", ALPHA))
        superlink.status = 200
        waits = asyncio.ensure_future(superlink.pull(ALPHA))
        await settled()
        assert told(superlink, "lost") == []
        waits.cancel()

    run(play)


def test_a_refused_question_is_not_kept(superlink: SuperLink) -> None:
    async def play() -> None:
        await superlink.push(("a", ALPHA))
        superlink.status = 401
        assert await superlink.ask("/v1/fleet/pull-messages", b"") == b""
        assert await superlink.ask("/v1/fleet/pull-messages", DAMAGED) == b""
        await superlink.pull(ALPHA)
        assert told(superlink, "lost") == []

    run(play)


def test_the_superexec_waits_for_a_run(superlink: SuperLink) -> None:
    async def play() -> None:
        body = AcquireTaskRequest().SerializeToString()
        waits = asyncio.ensure_future(superlink.ask("/v1/runtime/acquire-task", body))
        await settled()
        superlink.tasks.append(Task(task_id=5))
        await superlink.ask("/v1/control/start-run")
        # It is told "nothing" now and asks again: the same signed question is put once only.
        assert await waits == b""
        assert superlink.asked.count("/v1/runtime/acquire-task") == 1
        found = await superlink.ask("/v1/runtime/acquire-task", body)
        assert found is not None
        assert AcquireTaskResponse.FromString(found).task.task_id == 5

    run(play)


def test_two_runs_that_push_at_once_wake_both_nodes(superlink: SuperLink) -> None:
    async def play() -> None:
        waits = [asyncio.ensure_future(superlink.pull(node)) for node in (ALPHA, BETA)]
        await settled()
        for one, node in (("a", ALPHA), ("b", BETA)):
            found = [Message(metadata=Metadata(message_id=one, dst_node_id=node))]
            request = PushAppMessagesRequest(messages_list=found)
            await superlink.ask("/v1/runtime/push-messages", request.SerializeToString())
        for _ in range(2 * superlink.parts):
            await superlink.ask("/v1/runtime/push-object")
        assert [await one for one in waits] == [["a"], ["b"]]

    run(play)


def test_other_requests_pass_as_they_are(superlink: SuperLink) -> None:
    async def play() -> None:
        assert await superlink.ask("/health") == b""
        assert superlink.asked == ["/health"]

    run(play)
