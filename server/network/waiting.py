"""Lets whoever asks the SuperLink for something to do wait until there is something.

Flower's SuperLink answers at once that there is nothing, so nodes and the SuperExec ask again and
again. Each question costs it ten milliseconds of a processor, and each pause between two of them
delays a round. Here a question that finds nothing is kept until something has come, or for as long
as its sender's patience lasts. It looks like any other slow answer: Flower's own nodes need no
change.

What passes is entered in the account of the messages, see `account`.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Hashable
from functools import partial
from typing import Any

from flwr.proto.fleet_pb2 import (
    PullMessagesRequest,
    PullMessagesResponse,
    PushMessagesRequest,
    PushMessagesResponse,
)
from flwr.proto.message_pb2 import PushObjectResponse
from flwr.proto.runtime_pb2 import (
    AcquireTaskResponse,
    PushAppMessagesRequest,
    PushAppMessagesResponse,
)
from google.protobuf.message import DecodeError
from google.protobuf.message import Message as Protobuf

from server.network.account import Account
from server.network.asgi import Application, Message, Receive, Scope, Send, read_request, replayed
from server.network.guard import KEY_HEADER

HELD_SECONDS = 20.0
"""How long a question is kept. Flower's clients wait 30 s for an answer; proxies mostly 60 s."""
LOOK_SECONDS = 0.5
"""How often a kept question looks whether the SuperLink is to end."""

OK = 200
SUPEREXEC, RUNTIME = "superexec", "runtime"

Answer = list[Message]


class Parts:
    """Counts the parts of what one sender has announced; at the last one, `whole` is called."""

    def __init__(self, announced: int, whole: Callable[[], None]) -> None:
        self._left = announced
        self._whole = whole
        if announced == 0:
            whole()

    def one_more(self) -> None:
        """Count a part that has come."""
        self._left -= 1
        if self._left == 0:
            self._whole()

    def all_there(self) -> None:
        """Count the parts that are missing as well."""
        if self._left > 0:
            self._left = 0
            self._whole()


class Waiting:
    """Wraps the SuperLink's application, inside the guard.

    Parameters
    ----------
    account
        Where messages are entered.
    ending
        Says whether the SuperLink is to end: then nothing is kept any longer.
    """

    def __init__(self, app: Application, account: Account, ending: Callable[[], bool]) -> None:
        self.app = app
        self.account = account
        self.ending = ending
        self._parts: dict[Hashable, Parts] = {}
        self._waiting: dict[Hashable, set[asyncio.Future[Any]]] = defaultdict(set)
        self._paths: dict[str, Callable[[Scope, bytes, Receive], Awaitable[Answer]]] = {
            "/v1/fleet/pull-messages": self._pull,
            "/v1/fleet/push-messages": self._answered,
            "/v1/runtime/push-messages": self._sent,
            "/v1/runtime/acquire-task": self._acquire,
            "/v1/control/start-run": self._started,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; some of them later, or with an entry in the account."""
        path = scope["path"] if scope["type"] == "http" else ""
        if path == "/v1/fleet/push-object":
            await self._object(_key(scope), scope, receive, send)
            return
        if path == "/v1/runtime/push-object":
            await self._object(RUNTIME, scope, receive, send)
            return
        handle = self._paths.get(path)
        if handle is None:
            await self.app(scope, receive, send)
            return
        body: list[bytes] = []
        if not await read_request(receive, body.append):
            return
        for message in await handle(scope, b"".join(body), receive):
            await send(message)

    async def _pull(self, scope: Scope, body: bytes, receive: Receive) -> Answer:
        request = _read(PullMessagesRequest, body)
        if request is None:
            return await self._ask(scope, body)
        node: int = request.node.node_id

        async def ask() -> tuple[Answer, bool]:
            with_node = self.account.with_node(node)
            answer = await self._ask(scope, body)
            found = _granted(PullMessagesResponse, answer)
            if found is None:
                return answer, False
            given = [one.metadata.message_id for one in found.messages_list]
            if given and all(self.account.is_torso(one) for one in given):
                # It is the node's now, so it will not come again.
                self.account.lost(given)
                return await ask()
            if not given:
                self.account.lost(with_node)
            return answer, not given

        return await self._keep(node, ask, receive)

    async def _acquire(self, scope: Scope, body: bytes, receive: Receive) -> Answer:
        """Keep an empty answer back. Asked a second time, Flower would refuse the signature."""
        answer: Answer = []

        async def ask() -> tuple[Answer, bool]:
            nonlocal answer
            if answer:
                return answer, False
            answer = await self._ask(scope, body)
            found = _granted(AcquireTaskResponse, answer)
            return answer, found is not None and not found.HasField("task")

        return await self._keep(SUPEREXEC, ask, receive)

    async def _answered(self, scope: Scope, body: bytes, receive: Receive) -> Answer:
        answer = await self._ask(scope, body)
        request = _read(PushMessagesRequest, body)
        found = _granted(PushMessagesResponse, answer)
        if request is not None and found is not None:
            node = request.node.node_id
            replied = [one.metadata.reply_to_message_id for one in request.messages_list]
            self._parts[_key(scope)] = Parts(
                len(found.objects_to_push), partial(self.account.answered, node, replied)
            )
        return answer

    async def _object(self, sender: Hashable, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a part of a message on as it comes, and count it before its sender knows."""
        answer = await self._heard(scope, receive)
        parts = self._parts.get(sender)
        found = _granted(PushObjectResponse, answer)
        # Flower says OK as well where it did not take the object: its disk is full, for example.
        if parts is not None and found is not None and found.stored:
            parts.one_more()
        for message in answer:
            await send(message)

    async def _sent(self, scope: Scope, body: bytes, receive: Receive) -> Answer:
        request = _read(PushAppMessagesRequest, body)
        messages = [
            (one.metadata.message_id, one.metadata.dst_node_id)
            for one in (request.messages_list if request is not None else ())
        ]
        self.account.sending(messages)
        answer = await self._ask(scope, body)
        found = _granted(PushAppMessagesResponse, answer)
        if found is not None:
            self.account.sent(messages)

            def whole() -> None:
                self.account.whole(messages)
                self._wake(*(node for _, node in messages))

            if RUNTIME in self._parts:
                # Of another run, maybe: to wake somebody too early does no harm.
                self._parts[RUNTIME].all_there()
            self._parts[RUNTIME] = Parts(len(found.objects_to_push), whole)
        return answer

    async def _started(self, scope: Scope, body: bytes, receive: Receive) -> Answer:
        answer = await self._ask(scope, body)
        self._wake(SUPEREXEC)
        return answer

    async def _keep(
        self, whose: Hashable, ask: Callable[[], Awaitable[tuple[Answer, bool]]], receive: Receive
    ) -> Answer:
        """Ask until there is something, or nobody waits for it any longer."""
        loop = asyncio.get_running_loop()
        until = loop.time() + HELD_SECONDS
        gone: asyncio.Future[Any] = asyncio.ensure_future(receive())
        woken: asyncio.Future[Any] = loop.create_future()
        try:
            while True:
                # Before it asks: what comes meanwhile must not be missed.
                woken = loop.create_future()
                self._waiting[whose].add(woken)
                answer, nothing = await ask()
                if not nothing:
                    return answer
                while not woken.done():
                    left = until - loop.time()
                    if left <= 0.0 or gone.done() or self.ending():
                        return [] if gone.done() else answer
                    await asyncio.wait(
                        {woken, gone},
                        timeout=min(left, LOOK_SECONDS),
                        return_when=asyncio.FIRST_COMPLETED,
                    )
        finally:
            gone.cancel()
            self._waiting[whose].discard(woken)
            if not self._waiting[whose]:
                del self._waiting[whose]

    def _wake(self, *whose: Hashable) -> None:
        for name in whose:
            for one in self._waiting.pop(name, set()):
                if not one.done():
                    one.set_result(None)

    async def _ask(self, scope: Scope, body: bytes) -> Answer:
        """Let the application answer a request that was read before, and may be asked again."""
        scope = {**scope, "state": dict(scope.get("state") or {})}
        return await self._heard(scope, replayed(body, _nothing_more))

    async def _heard(self, scope: Scope, receive: Receive) -> Answer:
        """Let the application answer, and keep what it says."""
        said: Answer = []

        async def keep(message: Message) -> None:
            said.append(message)

        await self.app(scope, receive, keep)
        return said


async def _nothing_more() -> Message:
    """Wait for what comes after a request that was read whole: nothing does."""
    await asyncio.Event().wait()
    raise AssertionError("nothing comes after a request")


def _key(scope: Scope) -> bytes:
    """Give the public key by which a node signs: requests of one node bear the same."""
    wanted = KEY_HEADER.encode()
    return next((bytes(value) for name, value in scope["headers"] if name == wanted), b"")


def _granted(kind: type[Any], answer: Answer) -> Any | None:
    """Read an answer of the application; None if it refused."""
    if not any(one.get("status") == OK for one in answer):
        return None
    return _read(kind, b"".join(one.get("body", b"") for one in answer))


def _read(kind: type[Any], content: bytes) -> Any | None:
    try:
        found: Protobuf = kind.FromString(content)
    except DecodeError:
        return None
    return found
