"""The SuperNode's Runtime API from within its own process: its handlers, called as they are.

Flower's own apps are processes of their own and reach these handlers over HTTP, with a token for
each task. The carrier is a thread of the SuperNode. On three sites and one computer the way over
HTTP is a tenth of a training round.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from flwr.proto.message_pb2 import (
    ConfirmMessageReceivedRequest,
    ConfirmMessageReceivedResponse,
    PullObjectRequest,
    PullObjectResponse,
    PushObjectRequest,
    PushObjectResponse,
)
from flwr.proto.runtime_pb2 import (
    AcquireTaskRequest,
    AcquireTaskResponse,
    PullAppMessagesRequest,
    PullAppMessagesResponse,
    PullTaskInputRequest,
    PullTaskInputResponse,
    PushAppMessagesRequest,
    PushAppMessagesResponse,
    PushTaskOutputRequest,
    PushTaskOutputResponse,
)
from flwr.proto.task_pb2 import Task
from flwr.supercore.object_store import ObjectStoreFactory
from flwr.supernode.nodestate import NodeState, NodeStateFactory
from flwr.supernode.servicer.runtime import runtime_handlers

_HANDLERS = "flwr.supernode.servicer.runtime.runtime_handlers"
READ = {
    "flwr.supercore.servicer.runtime.runtime_handlers:acquire_task": "e3701406b554",
    f"{_HANDLERS}:acquire_task": "d11e03ec4b0b",
    f"{_HANDLERS}:pull_task_input": "035e6c69a7cf",
    f"{_HANDLERS}:pull_messages": "49089949d9fd",
    f"{_HANDLERS}:pull_object": "cf11db1e6a09",
    f"{_HANDLERS}:confirm_message_received": "d922673fae15",
    f"{_HANDLERS}:push_messages": "f0b01d8d3c43",
    f"{_HANDLERS}:push_object": "c6dad970cb51",
    f"{_HANDLERS}:push_task_output": "1d148b25ce52",
    "flwr.supernode.nodestate:NodeStateFactory": "a933795f624b",
}
"""The handlers that are called, and the hash of the source of each as it was read."""


def states_of_this_process() -> Callable[[], NodeState]:
    """Give a function for the state of the SuperNode that this process becomes, once it has one."""
    made: list[NodeStateFactory] = []

    def remembered(objectstore_factory: ObjectStoreFactory) -> NodeStateFactory:
        made.append(NodeStateFactory(objectstore_factory))
        return made[-1]

    command: Any = importlib.import_module("flwr.supernode.cli.flower_supernode")
    command.NodeStateFactory = remembered

    def state() -> NodeState:
        return made[-1].state()

    return state


def claimed(state: NodeState, types: tuple[str, ...]) -> Task | None:
    """Claim the oldest task of these types; None if there is none."""
    request = AcquireTaskRequest(supported_task_types=types)
    answer: AcquireTaskResponse = runtime_handlers.acquire_task(request, state)
    return answer.task if answer.HasField("task") and answer.token else None


class TaskRuntime:
    """What Flower's `RuntimeHttpClient` offers to a claimed task, as far as a question needs it."""

    def __init__(self, state: NodeState, task: Task) -> None:
        self._state = state
        self.task = task

    def beat(self) -> bool:
        """Tell the SuperNode that the task goes on. One that it gave up is not worth more tries."""
        self._state.acknowledge_task_heartbeat(self.task.task_id)
        return True

    def PullTaskInput(self, request: PullTaskInputRequest) -> PullTaskInputResponse:
        """Give the context of the task, its run and the app that was sent."""
        return runtime_handlers.pull_task_input(request, self._state, self.task)

    def PullMessages(self, request: PullAppMessagesRequest) -> PullAppMessagesResponse:
        """Give the question, without its content."""
        return runtime_handlers.pull_messages(request, self._state, self.task)

    def PullObject(self, request: PullObjectRequest) -> PullObjectResponse:
        """Give a part of the question."""
        return runtime_handlers.pull_object(request, self._state, self.task)

    def ConfirmMessageReceived(
        self, request: ConfirmMessageReceivedRequest
    ) -> ConfirmMessageReceivedResponse:
        """Forget the question: all of it was given."""
        return runtime_handlers.confirm_message_received(request, self._state, self.task)

    def PushMessages(self, request: PushAppMessagesRequest) -> PushAppMessagesResponse:
        """Take the answer, without its content."""
        return runtime_handlers.push_messages(request, self._state, self.task)

    def PushObject(self, request: PushObjectRequest) -> PushObjectResponse:
        """Take a part of the answer."""
        return runtime_handlers.push_object(request, self._state, self.task)

    def PushTaskOutput(self, request: PushTaskOutputRequest) -> PushTaskOutputResponse:
        """End the task."""
        return runtime_handlers.push_task_output(request, self._state, self.task)
