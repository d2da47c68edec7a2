"""A whole federation in this process, for benchmarks of what comes out and not of how fast.

Every stage by the coordinator's and the sites' own code, without Flower's engine, whose start takes
longer than a small study.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from threading import Event

from flwr.app import Message
from flwr.supercore.task_identity import TaskIdentity

from client.worker.desk import WorkerDesk
from common.feature_names import all_names
from common.study import Study
from server.app import conduct
from server.directory import Present
from server.federation import Federation
from server.run import RunFolder
from simulation.workers import local_worker


def run_near(study: Study, sites: Mapping[str, Path], out: Path) -> None:
    """Run a study over site folders, named as in its roster and in that order."""
    keys = tuple(bytes([number]) * 32 for number in range(len(sites)))
    workers = {
        name: local_worker(str(sites[name]), study.canonical(), keys, number)
        for number, name in enumerate(site.name for site in study.sites)
    }
    grid = NearGrid(workers)
    run = RunFolder.begin(out, study)
    federation = Federation(grid, run, grid, quiet, Event())  # type: ignore[arg-type]
    conduct(federation, run, list(all_names()), quiet)


def quiet(stage: str, detail: str) -> None:
    """Watch, and say nothing."""


class NearGrid:
    """A Grid, and a directory of sites, whose nodes are workers in this process."""

    def __init__(self, workers: Mapping[str, WorkerDesk]) -> None:
        # Flower makes no message outside a task, whatever the numbers.
        TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 0, 1
        self._nodes = {name: node for node, name in enumerate(workers, start=1)}
        self._workers = dict(zip(self._nodes.values(), workers.values(), strict=True))
        self._answers: dict[str, Message] = {}
        self._sent = 0

    def present(self) -> dict[str, Present]:
        return {name: Present(node, "") for name, node in self._nodes.items()}

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        sent = []
        for message in messages:
            self._sent += 1
            message.metadata.__dict__["_message_id"] = f"message {self._sent}"
            worker = self._workers[message.metadata.dst_node_id]
            stage = message.metadata.message_type.removeprefix("query.")
            answer = Message(worker.ask(stage, message.content), reply_to=message)
            self._answers[message.metadata.message_id] = answer
            sent.append(message.metadata.message_id)
        return sent

    def pull_messages(self, ids: Iterable[str]) -> list[Message]:
        return [self._answers.pop(one) for one in ids if one in self._answers]
