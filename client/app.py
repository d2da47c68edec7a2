"""The Flower ClientApp: a thin carrier between the network and the site's worker.

It passes a question on as it came and brings the answer back. It reads no image, no table and no
study; in deployment the worker is another process behind a socket.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from flwr.app import Context, Message, RecordDict
from flwr.clientapp import ClientApp

from common.messages import QUESTIONS

STAGE_NAMES = tuple(QUESTIONS)


class Asks(Protocol):
    """Whatever can be asked a stage's question: the worker, or a line to it."""

    def ask(self, stage: str, record: RecordDict) -> RecordDict:
        """Answer the stage's question."""
        ...


def carrier(worker_of: Callable[[Context], Asks]) -> ClientApp:
    """Make the ClientApp; `worker_of` finds the worker of the node that a message came to."""
    app = ClientApp()

    def carry(stage: str) -> None:
        @app.query(stage)
        def _(message: Message, context: Context) -> Message:
            return Message(worker_of(context).ask(stage, message.content), reply_to=message)

    for stage in STAGE_NAMES:
        carry(stage)
    return app
