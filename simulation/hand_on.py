"""Hand messages on to simulated sites as they come: Flower's engine looks ten times a second.

That costs each round 50 ms on average, and each look compares every message with every node. Here
the engine looks when a message was stored, and only then. If this is not the Flower whose source
was read, nothing is touched.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from queue import Queue
from threading import Event
from typing import Any

from flwr.app import Message

from common.flower_source import changed

STOP_SECONDS = 0.1
"""How long the engine may take to see that it is to end."""

_ENGINE = "flwr.server.superlink.fleet.vce.vce_api"
READ = {
    f"{_ENGINE}:add_messages_to_queue": "953f4bd41a93",
    f"{_ENGINE}:run_api": "f85c0cd6e902",
    "flwr.server.superlink.linkstate.in_memory_linkstate:InMemoryLinkState": "78ad01f312d1",
}
"""What is replaced or relied on, and the hash of the source of each as it was read."""


def hand_on_at_once() -> bool:
    """Replace the engine's look for messages in this process; say whether it is replaced."""
    engine: Any = importlib.import_module(_ENGINE)
    if engine.add_messages_to_queue is hand_on:
        return True
    if changed(READ):
        return False
    engine.add_messages_to_queue = hand_on
    return True


def hand_on(state: Any, queue: Queue[Message], nodes_mapping: Iterable[int], f_stop: Event) -> None:
    """Put what is stored for the nodes into the queue, until `f_stop` is set.

    Parameters
    ----------
    state
        Flower's LinkState in memory; its `store_message_ins` tells from now on when it was called.
    """
    came = Event()
    # What was stored before anyone listened is there as well.
    came.set()
    store = state.store_message_ins

    def store_and_tell(message: Message) -> str | None:
        stored: str | None = store(message)
        came.set()
        return stored

    state.store_message_ins = store_and_tell
    while not f_stop.is_set():
        if not came.wait(STOP_SECONDS):
            continue
        # Before the look: what is stored during it is looked for again.
        came.clear()
        for node in nodes_mapping:
            for message in state.get_message_ins(node_id=node, limit=None):
                queue.put(message)
