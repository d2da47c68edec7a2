"""Flower's grid, asked for an answer when one has come and not all the time."""

from __future__ import annotations

import time
from collections.abc import Iterable

from flwr.app import Error, Message, RecordDict
from flwr.common.constant import ErrorCode
from flwr.serverapp import Grid

from server.network.account import News

LOOK_SECONDS = 60.0
"""How often an answer is asked for that nobody has announced. Seldom: should half of it be there,
Flower waits for the other half, and meanwhile nothing of the others is heard."""


class AnnouncedGrid:
    """Pushes and pulls like the grid; a message that got lost is answered with an error."""

    def __init__(self, grid: Grid, news: News) -> None:
        self._grid = grid
        self._news = news
        self._looked: dict[str, float] = {}

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Hand messages over; their ids, in the same order."""
        return self._grid.push_messages(messages)

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Give the answers that have come to these messages."""
        self._news.read()
        found: list[Message] = []
        for one in message_ids:
            if one in self._news.lost:
                found.append(_unavailable(one))
            elif one in self._news.answered or self._is_due(one):
                found += self._grid.pull_messages([one])
        for message in found:
            settled = message.metadata.reply_to_message_id
            self._news.lost.discard(settled)
            self._news.answered.discard(settled)
            self._looked.pop(settled, None)
        return found

    def _is_due(self, one: str) -> bool:
        now = time.monotonic()
        before = self._looked.setdefault(one, now)
        if now - before < LOOK_SECONDS:
            return False
        self._looked[one] = now
        return True


def _unavailable(one: str) -> Message:
    """Make the answer that Flower gives where a message cannot be had."""
    asked = Message(RecordDict(), 0, "query")
    asked.metadata.__dict__["_message_id"] = one
    reason = "The node never got this message."
    return Message(Error(ErrorCode.MESSAGE_UNAVAILABLE, reason), reply_to=asked)
