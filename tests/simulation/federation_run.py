"""A tiny consortium of phantoms, and a run of it without the simulation engine."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from threading import Event
from typing import Any, Protocol

from flwr.app import Message, RecordDict
from flwr.supercore.task_identity import TaskIdentity

from client.cohort.importers import import_table
from client.cohort.rows import load_rows
from client.cohort.site_folder import SiteFolder
from client.phantoms.consortium import DEFAULT, make_consortium
from client.worker.desk import WorkerDesk
from common.feature_names import all_names
from common.study import Study
from server.app import conduct
from server.directory import Present
from server.federation import Federation, Watch
from server.run import RunFolder
from simulation.workers import local_worker

NAMES = {"aldgate": "train", "coimbra": "train", "dorpat": "external"}
Roles = Mapping[str, str]


def tiny_study(folds: int = 2, roles: Roles = NAMES, hides: bool = False) -> Study:
    return Study.model_validate(
        {
            "name": "tiny",
            "seed": 5,
            "folds": folds,
            "sites": [{"name": name, "role": role} for name, role in roles.items()],
            "cohort": {"minimum_patients_per_class": 2},
            "cnn": {"width": 0.05},
            "training": {"strategy": "fedavgm", "rounds": 2, "averaged_rounds": 1},
            "fusion": {"sizes": [2, 4], "inverse_penalties": [0.3, 1.0], "patient_score": "mean"},
            "secure_sum": {"enabled": hides},
        }
    )


def make_sites(folder: Path, patients: int = 8, slices: int = 2, roles: Roles = NAMES) -> Path:
    """Site folders with their radiomics measured already, below `folder`/sites."""
    phantoms = [site for site in DEFAULT if site.name in roles]
    tables = make_consortium(folder / "phantoms", 3, patients, phantoms, slices=slices)
    study = tiny_study(roles=roles)
    for table in tables:
        name = table.parent.name
        out = folder / "sites" / name
        import_table(table, out, name=name, positive="scar", negative="none", myocardium=2)
        site = SiteFolder.open(out)
        load_rows(site, study, external=name in study.external_sites, workers=1)
    return folder / "sites"


class Asked(Protocol):
    """Whatever answers a sealed question."""

    def ask(self, stage: str, record: RecordDict) -> RecordDict: ...


class Killed(Exception):
    """Stands in for the end of the coordinator's process."""


class NearGrid:
    """A Grid whose nodes answer at once, in this process; the coordinator dies at `dies_at`."""

    def __init__(self, workers: Mapping[str, Asked], dies_at: int = 0) -> None:
        TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 0, 1
        self.names = dict(enumerate(workers, start=1))
        self.workers = workers
        self.waiting: list[Message] = []
        self.dies_at = dies_at
        self.pushed = 0

    def present(self) -> dict[str, Present]:
        return {name: Present(node, "") for node, name in self.names.items()}

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        found = []
        for message in messages:
            self.pushed += 1
            if self.pushed == self.dies_at:
                raise Killed
            message.metadata.__dict__["_message_id"] = f"message {self.pushed}"
            stage = message.metadata.message_type.removeprefix("query.")
            worker = self.workers[self.names[message.metadata.dst_node_id]]
            answer = worker.ask(stage, message.content)
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


def quiet(stage: str, detail: str) -> None:
    """Watch, and say nothing."""


def workers_of(sites: Path, study: Study) -> dict[str, WorkerDesk]:
    """The sites' own workers, in this process."""
    names = [site.name for site in study.sites]
    keys = tuple(bytes([number]) * 32 for number in range(len(names)))
    return {
        name: local_worker(str(sites / name), study.canonical(), keys, place)
        for place, name in enumerate(names)
    }


def run_near(
    sites: Path,
    out: Path,
    stop: Event | None = None,
    watch: Watch = quiet,
    study: Study | None = None,
    grid: NearGrid | None = None,
) -> None:
    """Run the tiny study in this process, all stages by the coordinator's own code."""
    study = study or tiny_study()
    run = RunFolder.begin(out, study)
    grid = grid or NearGrid(workers_of(sites, study))
    federation = Federation(grid, run, grid, watch, stop or Event())  # type: ignore[arg-type]
    conduct(federation, run, list(all_names()), watch)


def release_bytes(out: Path) -> dict[str, bytes]:
    """The numbers of a release, file by file; the card and the versions name the run."""
    folder = out / "release"
    names = [*sorted(path.name for path in folder.glob("*.safetensors")), "release.json"]
    return {name: (folder / name).read_bytes() for name in names}


def results_of(out: Path) -> dict[str, Any]:
    """What results.json holds."""
    content: dict[str, Any] = json.loads((out / "results.json").read_text())
    return content


def numbers_of(out: Path) -> dict[str, Any]:
    """The results but for what differs from run to run."""
    content = results_of(out)
    for name in ("run", "seconds", "messages", "traffic", "looks_at_external"):
        del content[name]
    return content
