"""Sites without a network, and what a coordinator's stages work with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
from flwr.app import Error, Message, RecordDict
from flwr.supercore.task_identity import TaskIdentity

from common.messages import EnrolAnswer, TrainAnswer, TrainQuestion
from common.records import Envelope, unsealed
from common.study import Study
from server.directory import Present
from server.federation import Federation
from server.run import RunFolder

Reply = Callable[[str, RecordDict], RecordDict | Error | None]
"""Gives a site's reply to a stage's question, out of its envelope; None where it never answers."""

STAGES = ("enrol", "harmonize", "train", "fuse", "calibrate", "validate")
DEADLINE = 0.4
HISTOGRAM = np.zeros((2, 1001), np.int64)


class Killed(Exception):
    """Stands in for the end of the coordinator's process."""


@dataclass
class FakeGrid:
    """A Grid and a Directory in one: sites by name, each a function of what it is asked.

    Attributes
    ----------
    away : sites that are not connected
    unreachable : sites that are connected, but that no message can be pushed to
    slow : how many pulls bring nothing before a site's reply is there
    at_look : called at each look in the directory, with how many there were before
    dies_at : the push at which the coordinator dies, from 1
    asked : site and stage of all that was pushed; `pulled` the messages asked for at each pull
    envelope : that of the question which a site's function answers now
    """

    sites: dict[str, Reply]
    away: set[str] = field(default_factory=set)
    unreachable: set[str] = field(default_factory=set)
    slow: dict[str, int] = field(default_factory=dict)
    at_look: Callable[[int], None] = lambda _: None
    dies_at: int = 0
    asked: list[tuple[str, str]] = field(default_factory=list)
    pulled: list[list[str]] = field(default_factory=list)
    since: dict[str, str] = field(default_factory=dict)
    looks: int = 0
    envelope: Envelope | None = None

    def __post_init__(self) -> None:
        TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 0, 1
        self.waiting: dict[str, tuple[str, Message]] = {}

    def node(self, site: str) -> int:
        return 10 + list(self.sites).index(site)

    def present(self) -> dict[str, Present]:
        self.at_look(self.looks)
        self.looks += 1
        return {
            name: Present(self.node(name), self.since.get(name, "monday"))
            for name in self.sites
            if name not in self.away
        }

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str | None]:
        found: list[str | None] = []
        for message in messages:
            if len(self.asked) + 1 == self.dies_at:
                raise Killed
            site = list(self.sites)[message.metadata.dst_node_id - 10]
            if site in self.unreachable:
                found.append(None)
                continue
            self.asked.append((site, message.metadata.message_type.removeprefix("query.")))
            name = f"message {len(self.asked)}"
            message.metadata.__dict__["_message_id"] = name
            self.waiting[name] = (site, message)
            found.append(name)
        return found

    def pull_messages(self, ids: Iterable[str]) -> Iterable[Message]:
        """Ask the sites' functions now, so that no answer is anywhere before it is pulled."""
        self.pulled.append(list(ids))
        for name in self.pulled[-1]:
            site, message = self.waiting[name]
            if self.slow.get(site, 0) > 0:
                self.slow[site] -= 1
                continue
            stage = message.metadata.message_type.removeprefix("query.")
            self.envelope, question = unsealed(message.content)
            reply = self.sites[site](stage, question)
            if reply is not None:
                yield Message(reply, reply_to=message)


def make_study(sites: Sequence[str] = ("a", "b"), **content: Any) -> Study:
    """The named sites train and x is external; no question waits long, nothing is under masks."""
    roles = dict.fromkeys(sites, "train") | {"x": "external"}
    roster = [{"name": name, "role": role} for name, role in roles.items()]
    quorum = {"deadline_seconds": dict.fromkeys(STAGES, DEADLINE)} | content.pop("quorum", {})
    defaults = {"name": "tiny", "quorum": quorum, "secure_sum": {"enabled": False}}
    return Study.model_validate(defaults | {"sites": roster} | content)


def federation_over(
    grid: FakeGrid, folder: Path, study: Study
) -> tuple[Federation, list[tuple[str, str]]]:
    """A federation on the fake Grid, and what its watch is told."""
    told: list[tuple[str, str]] = []
    run = RunFolder.begin(folder, study)
    watch = lambda stage, detail: told.append((stage, detail))  # noqa: E731
    return Federation(grid, run, grid, watch, Event()), told  # type: ignore[arg-type]


def enrolled(site: str, study: Study, /, **changes: Any) -> EnrolAnswer:
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


def trained(
    weights: Any,
    slices: int = 10,
    loss: float = 0.5,
    question: TrainQuestion | None = None,
    **changes: Any,
) -> TrainAnswer:
    """What a site says whose network has these weights now, and this mean loss over its slices.

    Without a question they were zero before, and the site's slices are all.
    """
    change = weights
    if question is not None:
        moved = np.asarray(weights, np.float64) - question.weights
        change = moved * (slices / question.slices)
    content: dict[str, Any] = {
        "slices": slices,
        "patients": 3,
        "loss": loss * slices,
        "change": np.asarray(change, np.float32),
        "validation": np.array([1.0, 2.0]),
        "histogram": HISTOGRAM,
    }
    return TrainAnswer(**content | changes)


def weights_of(answer: TrainAnswer, question: TrainQuestion) -> np.ndarray:
    """The weights (float64) that a site has after its training, from what it says."""
    moved = answer.change.astype(np.float64) * (question.slices / answer.slices)
    return np.asarray(question.weights + moved)
