"""The carrier without a network: what it answers, and that no question is ever left unanswered."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.common.constant import SubStatus
from flwr.proto.task_pb2 import Task
from flwr.supercore.constant import TaskType
from flwr.supercore.fab import Fab
from flwr.supercore.task_identity import TaskIdentity

from client.node import carrier as module
from client.node.carrier import FOREIGN, NOT_CARRIED, Carrier
from common.bundle import bundle
from common.errors import CohortError, MyoFedError

SECRET = "Patient P07-Smith in /data/hospital/P07.nii.gz"


class Runtime:
    """Stands in for the SuperNode's handlers, and for what speaks to them."""

    def __init__(self) -> None:
        self.waiting: list[str] = []
        self.replies: list[Message] = []
        self.outputs: list[str] = []
        self.pull_error: Exception | None = None
        self.sent = bundle()
        self.beats = 0

    def of_task(self, state: object, task: Task) -> Runtime:
        self.task = task
        return self

    def claimed(self, state: object, types: tuple[str, ...]) -> Task | None:
        # The carrier of the test before may have been woken once more at its end.
        if state is not self or not self.waiting:
            return None
        kind = self.waiting.pop(0)
        assert kind in types
        return Task(task_id=1, type=kind)

    def beat(self) -> bool:
        self.beats += 1
        return True

    def pull_task_input(self, _: Any) -> tuple[Message, Context, None, Fab]:
        if self.pull_error is not None:
            raise self.pull_error
        content = RecordDict({"question": ConfigRecord({"number": 1})})
        message = Message(content, dst_node_id=2, message_type="query.enrol")
        context = Context(1, 2, {}, RecordDict(), {}, 1)
        return message, context, None, Fab(hash_str="", content=self.sent, verifications={})

    def push_message(self, _: Any, reply: Message, context: Context) -> None:
        self.replies.append(reply)

    def push_task_output(self, _: Any, context: Any, sub_status: str, details: str) -> None:
        assert context is None
        assert details == ""
        self.outputs.append(sub_status)


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Runtime:
    TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 0, 1
    made = Runtime()
    monkeypatch.setattr(module, "TaskRuntime", made.of_task)
    monkeypatch.setattr(module, "claimed", made.claimed)
    for name in ("pull_task_input", "push_message", "push_task_output"):
        monkeypatch.setattr(module, name, getattr(made, name))
    return made


def app_that(raises: Exception | None = None) -> ClientApp:
    app = ClientApp()

    @app.query("enrol")
    def _(message: Message, context: Context) -> Message:
        if raises is not None:
            raise raises
        return Message(message.content, reply_to=message)

    return app


def carry(runtime: Runtime, app: ClientApp, *kinds: str) -> bool:
    """Let the carrier take what waits; whether it broke."""
    broken = threading.Event()
    runtime.waiting = list(kinds)
    carrier = Carrier(lambda: runtime, app, broken.set)
    carrier.start()
    assert runtime.waiting == list(kinds), "nothing is claimed before the first call"
    for _ in range(500):
        carrier.wait(0.01)
        if broken.is_set() or len(runtime.outputs) == len(kinds):
            break
    return broken.is_set()


def test_questions_are_carried_one_after_the_other(runtime: Runtime) -> None:
    assert not carry(runtime, app_that(), TaskType.CLIENT_APP, TaskType.CLIENT_APP)
    assert [reply.content["question"]["number"] for reply in runtime.replies] == [1, 1]
    assert runtime.outputs == [SubStatus.COMPLETED] * 2


def test_who_waits_comes_back_with_the_answer(runtime: Runtime) -> None:
    carrier = Carrier(lambda: runtime, app_that(), lambda: None)
    carrier.start()
    runtime.waiting = [TaskType.CLIENT_APP]
    begun = time.monotonic()
    carrier.wait(60.0)
    assert len(runtime.replies) == 1
    assert time.monotonic() - begun < 30.0


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ValueError(SECRET), f"{MyoFedError.code}: {MyoFedError.public}"),
        (CohortError(SECRET, SECRET), f"{CohortError.code}: {CohortError.public}"),
    ],
    ids=["unexpected", "expected"],
)
def test_an_exception_becomes_a_fixed_text(runtime: Runtime, error: Exception, reason: str) -> None:
    assert not carry(runtime, app_that(error), TaskType.CLIENT_APP)
    [reply] = runtime.replies
    assert reply.has_error()
    assert reply.error.reason == reason
    assert runtime.outputs == [SubStatus.COMPLETED]


def test_an_agent_is_answered_and_not_run(runtime: Runtime) -> None:
    """Nobody would answer it, and the SuperNode would wait for ever."""
    assert not carry(runtime, app_that(ValueError("ran")), TaskType.AGENT_APP)
    assert runtime.replies[0].error.reason == NOT_CARRIED


@pytest.mark.parametrize("change", [b"x", b""])
def test_the_question_of_a_foreign_app_is_not_carried(runtime: Runtime, change: bytes) -> None:
    """One byte more than the installed release sends, or one less."""
    runtime.sent = runtime.sent + change if change else runtime.sent[:-1]
    assert not carry(runtime, app_that(ValueError("ran")), TaskType.CLIENT_APP)
    [reply] = runtime.replies
    assert dict(reply.content["refusal"]) == {"code": FOREIGN.code, "public": FOREIGN.public}
    assert runtime.outputs == [SubStatus.COMPLETED]


def test_a_question_that_cannot_be_answered_at_all_ends_the_node(runtime: Runtime) -> None:
    runtime.pull_error = RuntimeError("No messages received from Runtime API")
    assert carry(runtime, app_that(), TaskType.CLIENT_APP)
    assert runtime.outputs == [SubStatus.FAILED]
