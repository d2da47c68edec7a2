"""The shim: shorter waits in Flower's SuperNode, for exactly the Flower it was made for.

Flower's SuperNode sleeps 3 s when there is no message, looks every 0.5 s for a reply, and waits
1, 2, 4 s for an object that is announced and not there yet. None of it has an option. On three
sites that is most of a round that trains nothing. What is changed is two default values and the
`time` that one module sees; no code of Flower's is replaced.

If this is not the Flower whose source was read, nothing is touched: see `differences`.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from typing import Any

from client.node.runtime import READ as RUNTIME
from common.flower_objects import READ as OBJECTS
from common.flower_objects import quicken_objects
from common.flower_source import changed

IDLE, AWAITING = 3, 0.5
"""The waits in the SuperNode's loop: without a message, and for the reply to one."""

LOOK_FOR_MESSAGE = 0.2
"""The pause between two looks; the coordinator keeps each until there is a message."""

READ = {
    "flwr.supernode.start_client_internal:start_client_internal": "9e89a6eb68fb",
    "flwr.supernode.start_client_internal:_pull_and_store_message": "eaf5d0e36dc3",
    "flwr.supernode.start_client_internal:_push_messages": "00bb86faffde",
    "flwr.supernode.cli.flower_supernode:flower_supernode": "e263e1045207",
    "flwr.supernode.cli.flower_supernode:_parse_args_run_supernode": "f57c3a4843d6",
    "flwr.supernode.runtime.run_clientapp:pull_task_input": "5607a23e1673",
    "flwr.supernode.runtime.run_clientapp:push_message": "07cb512c93e0",
    "flwr.supernode.runtime.run_clientapp:push_task_output": "9206407456e7",
    "flwr.supercore.heartbeat:HeartbeatSender": "27714c8e3512",
}
"""What the node relies on, and the hash of the source of each as it was read."""


def differences() -> list[str]:
    """Name what is not as it was read; empty if the node may go at its own pace."""
    return changed(READ) or changed(RUNTIME) or changed(OBJECTS)


class Pace:
    """Stands in for the module `time` in the SuperNode's loop.

    Parameters
    ----------
    idle
        Called when the loop finds no message: the node is connected.
    awaiting
        Called when a message has arrived: waits for its reply, at most so many seconds.
    """

    def __init__(self, idle: Callable[[], None], awaiting: Callable[[float], None]) -> None:
        self._idle = idle
        self._awaiting = awaiting

    def sleep(self, seconds: float) -> None:
        """Sleep for less than asked where the SuperNode's loop asks."""
        if seconds == IDLE:
            self._idle()
            time.sleep(LOOK_FOR_MESSAGE)
        elif seconds == AWAITING:
            self._awaiting(seconds)
        else:
            time.sleep(seconds)

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)


def quicken(idle: Callable[[], None], awaiting: Callable[[float], None]) -> None:
    """Shorten the waits of the SuperNode in this process; call it when nothing differs."""
    loop: Any = importlib.import_module("flwr.supernode.start_client_internal")
    loop.time = Pace(idle, awaiting)
    quicken_objects()
