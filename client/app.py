"""The Flower ClientApp: a thin carrier between the network and the site's worker.

It passes a question on as it came and brings the answer back. It reads no image, no table and no
study; in deployment the worker is another process, and the site's node names the folder of the link
to it in the environment.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import Protocol

from flwr.app import Context, Message, RecordDict
from flwr.clientapp import ClientApp

from client.link.line import WorkerLine
from client.link.place import LinkError
from common.folding import folded, unfolded
from common.messages import Refusal
from common.question_kinds import QUESTIONS
from common.records import refusal_record

STAGE_NAMES = tuple(QUESTIONS)
LINK, ADDRESS = "MYOFED_LINK", "MYOFED_LINK_ADDRESS"
"""Variables that name the link's folder, and the worker's network address if it has one."""


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
            # Folded for Flower's sake only: arrays travel beside a record on the site's own line.
            answer = worker_of(context).ask(stage, unfolded(message.content))
            return Message(folded(answer), reply_to=message)

    for stage in STAGE_NAMES:
        carry(stage)
    return app


class NoLine:
    """Stands in where the node was not told where its worker is."""

    def ask(self, stage: str, record: RecordDict) -> RecordDict:
        """Refuse; the node's own log says what is missing."""
        logging.getLogger("myofed.link").error(
            "%s: %s is not set. Start the node with the folder of its link to the worker.",
            stage,
            LINK,
        )
        return refusal_record(Refusal(LinkError.code, LinkError.public))


def line_of_site(_: Context) -> Asks:
    """Give the line to the worker of the site that this node belongs to."""
    folder = os.environ.get(LINK)
    return WorkerLine(folder, os.environ.get(ADDRESS) or None) if folder else NoLine()


app = carrier(line_of_site)
