"""A tiny consortium of phantoms, and a run of it without the simulation engine."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from threading import Event

from flwr.app import Message
from flwr.supercore.task_identity import TaskIdentity

from client.cohort.importers import import_table
from client.cohort.rows import load_rows
from client.cohort.site_folder import SiteFolder
from client.context import SiteContext
from client.phantoms.consortium import DEFAULT, make_consortium
from client.worker.worker import Worker
from common.feature_names import all_names
from common.study import Study
from server.app import conduct
from server.federation import Federation, Watch
from server.run import RunFolder

NAMES = {"aldgate": "train", "coimbra": "train", "dorpat": "external"}
PHANTOMS = tuple(site for site in DEFAULT if site.name in NAMES)


def tiny_study() -> Study:
    return Study.model_validate(
        {
            "name": "tiny",
            "seed": 5,
            "folds": 2,
            "sites": [{"name": name, "role": role} for name, role in NAMES.items()],
            "cohort": {"minimum_patients_per_class": 2},
            "cnn": {"width": 0.05},
            "training": {"strategy": "fedavgm", "rounds": 2, "averaged_rounds": 1},
            "fusion": {"sizes": [2, 4], "inverse_penalties": [0.3, 1.0], "patient_score": "mean"},
        }
    )


def make_sites(folder: Path, patients: int = 8, slices: int = 2) -> Path:
    """Site folders with their radiomics measured already, below `folder`/sites."""
    tables = make_consortium(folder / "phantoms", 3, patients, PHANTOMS, slices=slices)
    study = tiny_study()
    for table in tables:
        name = table.parent.name
        out = folder / "sites" / name
        import_table(table, out, name=name, positive="scar", negative="none", myocardium=2)
        site = SiteFolder.open(out)
        load_rows(site, study, external=name in study.external_sites, workers=1)
    return folder / "sites"


class NearGrid:
    """A Grid whose nodes answer at once, in this process, the last asked first."""

    def __init__(self, workers: list[Worker]) -> None:
        TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 0, 1
        self.workers = dict(enumerate(workers, start=1))
        self.waiting: list[Message] = []
        self.pushed = 0

    def get_node_ids(self) -> Iterable[int]:
        return list(self.workers)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        found = []
        for message in messages:
            self.pushed += 1
            message.metadata.__dict__["_message_id"] = f"message {self.pushed}"
            stage = message.metadata.message_type.removeprefix("query.")
            answer = self.workers[message.metadata.dst_node_id].ask(stage, message.content)
            self.waiting.append(Message(answer, reply_to=message))
            found.append(message.metadata.message_id)
        return found

    def pull_messages(self, ids: Iterable[str]) -> Iterable[Message]:
        return [self.waiting.pop()]


def quiet(stage: str, detail: str) -> None:
    """Watch, and say nothing."""


def run_near(sites: Path, out: Path, stop: Event, watch: Watch = quiet) -> None:
    """Run the tiny study in this process, all stages by the coordinator's own code."""
    study = tiny_study()
    run = RunFolder.begin(out, study)
    workers = [
        Worker(SiteContext(SiteFolder.open(sites / name), study, run.identity)) for name in NAMES
    ]
    grid = NearGrid(workers)
    federation = Federation(grid, run, 600.0, watch, stop)  # type: ignore[arg-type]
    conduct(federation, run, list(all_names()), watch)


def release_bytes(out: Path) -> dict[str, bytes]:
    """The numbers of a release, file by file; the card and the versions name the run."""
    folder = out / "release"
    names = [*sorted(path.name for path in folder.glob("*.safetensors")), "release.json"]
    return {name: (folder / name).read_bytes() for name in names}
