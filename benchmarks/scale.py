"""The coordinator with 3 to 100 sites: `python benchmarks/scale.py OUT [--sites 3 100]`.

A training round at width 1 (13.7 million weights, 55 MB a message, under masks), by the
coordinator's own code. The sites are answers that were made beforehand and lie on disk, so that
time and memory are the coordinator's alone: to take an answer in, check it, keep it, add all of
them up and make the next weights. A site of these shares masks with two others instead of all,
which costs the coordinator the same. Each number of sites is a process of its own; time and highest
memory are compared with those of three sites.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from threading import Event

import numpy as np
from flwr.app import Message
from flwr.supercore.task_identity import TaskIdentity
from safetensors.numpy import load_file, save_file
from table import Row, show

from common.cnn import initial_weights
from common.messages import EnrolAnswer, Hidden, TrainAnswer, TrainQuestion
from common.records import to_record
from common.secure_sum.adding import hide
from common.study import Study
from server.directory import Present
from server.federation import Federation
from server.roster import Roster
from server.run import RunFolder
from server.stages.site_measures import SiteMeasures
from server.stages.train import one_round
from server.strategies import Aggregator

SITES = (3, 100)
SLICES, PATIENTS = 100, 20
ROUNDS = 3


def names_of(count: int) -> list[str]:
    return [f"site{number:03d}" for number in range(count)]


def study_of(count: int) -> Study:
    sites = [{"name": name, "role": "train"} for name in names_of(count)]
    return Study.model_validate({"name": "scale", "sites": sites, "cnn": {"width": 1.0}})


def make_answers(folder: Path, count: int, size: int) -> None:
    """Write what each site answers, once; masks are shared with the two neighbours in a ring."""
    names = names_of(count)
    for number, name in enumerate(names):
        path = folder / f"{name}.safetensors"
        near = {names[(number + step) % count] for step in (-1, 1)}
        secrets = {other: "/".join(sorted((name, other))).encode().ljust(32) for other in near}
        change = np.random.default_rng(number).normal(scale=1e-5, size=size).astype(np.float32)
        histogram = np.zeros((2, 1001), np.int64)
        histogram[:, 500] = PATIENTS // 4
        answer = TrainAnswer(
            SLICES, PATIENTS, 0.6 * SLICES, change, np.array([7.0, 10.0]), histogram
        )
        hidden = hide(answer, name, secrets, b"scale", 3)
        arrays = {"statistics": hidden.statistics, "weights": hidden.weights}
        save_file(arrays, path, {"layout": hidden.layout})


class WrittenAnswers:
    """A Grid, and a directory, whose sites' answers lie on disk, one file a site."""

    def __init__(self, folder: Path, names: list[str], layout: str) -> None:
        TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 0, 1
        self.folder, self.layout = folder, layout
        self.nodes = dict(enumerate(names, start=1))
        self.sent: dict[str, Message] = {}

    def present(self) -> dict[str, Present]:
        return {name: Present(node, "") for node, name in self.nodes.items()}

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        for message in messages:
            identity = f"message {len(self.sent)} {time.monotonic_ns()}"
            message.metadata.__dict__["_message_id"] = identity
            self.sent[identity] = message
        return list(self.sent)[-len(self.nodes) :]

    def pull_messages(self, ids: Iterable[str]) -> Iterator[Message]:
        for identity in list(ids):
            message = self.sent.pop(identity, None)
            if message is None:
                continue
            name = self.nodes[message.metadata.dst_node_id]
            arrays = load_file(self.folder / f"{name}.safetensors")
            hidden = Hidden(self.layout, arrays["statistics"], arrays["weights"])
            yield Message(to_record(hidden), reply_to=message)


def layout_of(path: Path) -> str:
    with path.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    return str(header["__metadata__"]["layout"])


def measure(folder: Path, count: int) -> dict[str, float]:
    """Seconds of a round, the median of `ROUNDS`, and the highest memory of this process in MB."""
    study = study_of(count)
    weights = initial_weights(1.0, study.cnn.dropout, study.preprocessing.crop, 1)
    names = names_of(count)
    enrolled = {
        name: EnrolAnswer(
            name, study.fingerprint, "", "", "{}", PATIENTS // 2, PATIENTS // 2, SLICES,
            session_key="00" * 32, signature="00" * 64,
        )
        for name in names
    }  # fmt: skip
    roster = Roster(enrolled, tuple(names), ())
    grid = WrittenAnswers(folder, names, layout_of(folder / f"{names[0]}.safetensors"))
    shutil.rmtree(folder / "run", ignore_errors=True)
    run = RunFolder.begin(folder / "run", study)
    federation = Federation(grid, run, grid, lambda stage, detail: None, Event())  # type: ignore[arg-type]
    aggregator = Aggregator(study.training)
    seconds = []
    for number in range(1, ROUNDS + 1):
        question = TrainQuestion(study.fingerprint, 0, number, SLICES * count, np.ones(2), weights)
        began = time.perf_counter()
        weights, _ = one_round(
            federation, roster, aggregator, question, study.training, SiteMeasures(study)
        )
        seconds.append(time.perf_counter() - began)
        federation.forget(question)
    highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0
    return {"seconds": float(np.median(seconds)), "megabytes": highest}


def rows(out: Path, counts: Iterable[int] = SITES) -> list[Row]:
    """Measure each number of sites in a process of its own."""
    found = {}
    for count in counts:
        folder = out / str(count)
        folder.mkdir(parents=True, exist_ok=True)
        for step in ("make", "measure"):
            command = [sys.executable, __file__, str(out), "--child", step, "--sites", str(count)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
        found[count] = json.loads(done.stdout.splitlines()[-1])
        print(count, "sites", found[count], flush=True)
        shutil.rmtree(folder)
    first, *others = found
    few = found[first]
    detail = ", ".join(
        f"{n}: {one['seconds']:.1f} s, {one['megabytes']:.0f} MB" for n, one in found.items()
    )
    most = max(found)
    return [
        Row(
            f"coordinator's memory, a round of 55 MB a site, {first} to {most} sites",
            f"{first} sites",
            "times",
            1.1,
            [found[n]["megabytes"] / few["megabytes"] for n in others],
            detail,
            at_most=True,
        ),
        Row(
            f"coordinator's time for a site, {first} to {most} sites",
            f"{first} sites",
            "times",
            1.1,
            [found[n]["seconds"] / n / (few["seconds"] / first) for n in others],
            "linear where it is 1",
            at_most=True,
        ),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--sites", type=int, nargs="+", default=list(SITES))
    parser.add_argument("--child", choices=["make", "measure"], help=argparse.SUPPRESS)
    given = parser.parse_args()
    out = given.out.absolute()
    if given.child is None:
        show(rows(out, given.sites))
        return
    (count,) = given.sites
    if given.child == "make":
        study = study_of(count)
        size = initial_weights(1.0, study.cnn.dropout, study.preprocessing.crop, 1).size
        make_answers(out / str(count), count, size)
    else:
        print(json.dumps(measure(out / str(count), count)))


if __name__ == "__main__":
    main()
