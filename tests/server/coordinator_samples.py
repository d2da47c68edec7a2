"""A Grid without a network, and what a coordinator's stages work with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
from flwr.app import Error, Message, RecordDict
from flwr.supercore.task_identity import TaskIdentity

from common.messages import EnrolAnswer, TrainAnswer
from common.study import Study
from server.federation import Federation
from server.run import RunFolder

Reply = Callable[[str, RecordDict], RecordDict | Error | None]
"""Gives a node's reply to a question; None where it never answers."""

HISTOGRAM = np.zeros((2, 1001), np.int64)


class FakeGrid:
    """Nodes by number, each a function; replies are pulled one at a time, the last pushed first."""

    def __init__(self, nodes: dict[int, Reply], unreachable: Sequence[int] = ()) -> None:
        TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 0, 1
        self.nodes = nodes
        self.unreachable = unreachable
        self.waiting: list[Message] = []
        self.pushed = 0

    def get_node_ids(self) -> Iterable[int]:
        return list(self.nodes)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        found = []
        for message in messages:
            node = message.metadata.dst_node_id
            if node in self.unreachable:
                continue
            self.pushed += 1
            message.metadata.__dict__["_message_id"] = f"message {self.pushed}"
            stage = message.metadata.message_type.removeprefix("query.")
            answer = self.nodes[node](stage, message.content)
            if answer is not None:
                self.waiting.append(Message(answer, reply_to=message))
            found.append(message.metadata.message_id)
        return found

    def pull_messages(self, ids: Iterable[str]) -> Iterable[Message]:
        wanted = set(ids)
        for message in reversed(self.waiting):
            if message.metadata.reply_to_message_id in wanted:
                self.waiting.remove(message)
                return [message]
        return []


def make_study(**content: Any) -> Study:
    """Two sites that train and one external."""
    roles = {"a": "train", "b": "train", "x": "external"}
    roster = [{"name": name, "role": role} for name, role in roles.items()]
    return Study.model_validate({"name": "tiny", "sites": roster} | content)


def federation_over(
    grid: FakeGrid, folder: Path, study: Study, patience: float = 5.0
) -> tuple[Federation, list[tuple[str, str]]]:
    """A federation on the fake Grid, and what its watch is told."""
    told: list[tuple[str, str]] = []
    run = RunFolder.begin(folder, study)
    watch = lambda stage, detail: told.append((stage, detail))  # noqa: E731
    return Federation(grid, run, patience, watch, Event()), told  # type: ignore[arg-type]


def enrolled(site: str, study: Study, **changes: Any) -> EnrolAnswer:
    content: dict[str, Any] = {
        "site": site,
        "fingerprint": study.fingerprint,
        "recipe": "r1",
        "self_test": "s1",
        "versions": '{"numpy": "2.1", "torch": "2.7"}',
        "positive": 6,
        "negative": 8,
        "slices": 40,
    }
    return EnrolAnswer(**content | changes)


def trained(weights: Any, slices: int = 10, loss: float = 0.5, **changes: Any) -> TrainAnswer:
    content: dict[str, Any] = {
        "slices": slices,
        "patients": 3,
        "loss": loss,
        "weights": np.asarray(weights, np.float32),
        "validation": np.array([1.0, 2.0]),
        "histogram": HISTOGRAM,
    }
    return TrainAnswer(**content | changes)
