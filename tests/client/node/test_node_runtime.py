"""The handlers of Flower's own SuperNode, called within its process: a question and its answer."""

from __future__ import annotations

import importlib
from dataclasses import replace
from hashlib import sha256
from typing import Any, cast

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, Context, Message, RecordDict
from flwr.common.constant import SubStatus
from flwr.supercore.constant import TaskType
from flwr.supercore.fab import Fab
from flwr.supercore.object_store import ObjectStoreFactory
from flwr.supercore.run import Run
from flwr.supercore.runtime import RuntimeHttpClient
from flwr.supercore.task_identity import TaskIdentity
from flwr.supernode.nodestate import NodeState, NodeStateFactory
from flwr.supernode.runtime.run_clientapp import pull_task_input, push_message, push_task_output
from flwr.supernode.start_client_internal import _insert_message, _push_messages

from client.node.carrier import TAKEN
from client.node.runtime import READ, TaskRuntime, claimed, states_of_this_process
from common.flower_source import changed

NODE, RUN, SERIES, APP = 2, 11, 7, b"the app"


def content(value: float) -> RecordDict:
    return RecordDict({"arrays": ArrayRecord({"values": Array(np.full(1000, value))})})


@pytest.fixture
def state() -> NodeState:
    """The state of a SuperNode that has just received a question."""
    made = NodeStateFactory(ObjectStoreFactory()).state()
    made.set_node_id(NODE)
    fab = Fab(sha256(APP).hexdigest(), APP, {})
    run = replace(Run.create_empty(RUN), fab_hash=fab.hash_str, series_id=SERIES)
    made.store_run(run)
    made.set_run_series_context(run.series_id, Context(RUN, NODE, {}, RecordDict(), {}, SERIES))
    made.store_fab(fab)
    assert made.create_task(task_type=TaskType.CLIENT_APP, run_id=RUN, fab_hash=run.fab_hash)
    TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = RUN, 0, 1
    message = Message(content(1.0), dst_node_id=NODE, message_type="query.enrol")
    _insert_message(message, made, made.object_store)
    return made


def sent_on(state: NodeState) -> list[Any]:
    """What the SuperNode's loop would send to the coordinator now."""
    sent: list[Any] = []

    def send(message: Any, tree: Any, seconds: float) -> tuple[set[str], str]:
        sent.append(message)
        return set(), "session"

    _push_messages(
        state=state, object_store=state.object_store, send=send, push_object=lambda *_: None
    )
    return sent


def test_the_handlers_are_those_that_were_read() -> None:
    assert changed(READ) == []


def test_a_question_is_claimed_once_and_its_answer_taken(state: NodeState) -> None:
    task = claimed(state, TAKEN)
    assert task is not None
    assert claimed(state, TAKEN) is None
    runtime = TaskRuntime(state, task)
    client = cast(RuntimeHttpClient, runtime)
    message, context, run, fab = pull_task_input(client)
    assert (run.run_id, fab.content) == (RUN, APP)
    assert message.content["arrays"]["values"].numpy()[0] == 1.0
    assert runtime.beat()
    push_message(client, Message(content(2.0), reply_to=message), context)
    push_task_output(client, context=None, sub_status=SubStatus.COMPLETED, details="")
    [answer] = sent_on(state)
    assert answer.metadata.reply_to_message_id == message.metadata.message_id


def test_a_task_of_another_kind_is_left(state: NodeState) -> None:
    assert claimed(state, (TaskType.CONNECTOR,)) is None


def test_the_state_is_that_of_the_supernode_of_this_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    command: Any = importlib.import_module("flwr.supernode.cli.flower_supernode")
    monkeypatch.setattr(command, "NodeStateFactory", NodeStateFactory)
    find = states_of_this_process()
    made = command.NodeStateFactory(objectstore_factory=ObjectStoreFactory())
    assert find() is made.state()
