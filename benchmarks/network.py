"""What federation costs: `python benchmarks/network.py OUT [--rounds 6]`.

Makes three phantom sites of about 256 training slices each, and times on this machine, one after
the other:

- a training round at width 0.25 in plain torch: the sites' own training function, one process a
  site, all at once, with the data loaded;
- the same round in a simulation, from the coordinator's events;
- plain again: the pace of a machine changes in minutes;
- the same round, and a question that takes no time to answer, in a deployment on loopback;
- plain again, and once more in processes that keep the memory they have freed, as a site's worker
  does: what that alone is worth is told beside the ratios.

Each round is compared with the median of the plain rounds before and after it. Nothing else should
run meanwhile.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from itertools import pairwise
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "deployment"))

from consortium import Consortium
from table import Row, show

from client.cohort.importers import import_table
from client.cohort.rows import load_rows
from client.cohort.site_folder import SiteFolder
from client.context import SiteContext
from client.phantoms.consortium import DEFAULT, make_consortium
from client.stages import train
from common.cnn import initial_weights
from common.feature_names import all_names
from common.memory import keep_freed_memory
from common.messages import TrainQuestion
from common.study import Study
from common.study_file import parse_study
from server.run import RunFolder
from simulation.engine import federate

PATIENTS, SLICES = 86, 4
SITES = DEFAULT[:3]


def study_text(rounds: int) -> str:
    """The protocol without its roster; the sites of a deployment have keys in theirs."""
    return (
        f'name = "network"\n[training]\nrounds = {rounds}\naveraged_rounds = 1\n'
        '[fusion]\npatient_score = "mean"\n'
    )


def roster_text() -> str:
    return "".join(f'[[sites]]\nname = "{site.name}"\nrole = "train"\n' for site in SITES)


def make_sites(
    out: Path, study: Study, patients: int = PATIENTS, slices: int = SLICES
) -> dict[str, Path]:
    folders = {site.name: out / "sites" / site.name for site in SITES}
    if not (out / "sites").exists():
        for table in make_consortium(out / "phantoms", 1, patients, SITES, slices=slices):
            name = table.parent.name
            path = folders[name]
            import_table(table, path, name=name, positive="scar", negative="none", myocardium=2)
    for path in folders.values():
        rows = load_rows(SiteFolder.open(path), study, external=False, workers=2)
        print(path.name, int(rows.trains(0).sum()), "training slices", flush=True)
    return folders


def plain(
    path: Path, study: Study, rounds: int, start: Barrier, end: Barrier, as_a_worker: bool
) -> None:
    """Train as the site does, without any message."""
    if as_a_worker:
        keep_freed_memory()
    context = SiteContext(SiteFolder.open(path), study, "plain")
    weights = initial_weights(study.cnn.width, study.cnn.dropout, 128, study.seed)
    slices = int(context.rows.trains(0).sum())
    for number in range(rounds):
        start.wait()
        question = TrainQuestion(study.fingerprint, 0, number + 1, slices, np.ones(2), weights)
        weights = weights + train.answer(question, context).change
        end.wait()


def time_plain(
    folders: dict[str, Path], study: Study, rounds: int, *, as_a_worker: bool = False
) -> list[float]:
    context = get_context("spawn")
    start, end = (context.Barrier(len(folders) + 1) for _ in range(2))
    workers = [
        context.Process(target=plain, args=(path, study, rounds, start, end, as_a_worker))
        for path in folders.values()
    ]
    for worker in workers:
        worker.start()
    seconds = []
    for _ in range(rounds):
        start.wait()
        began = time.perf_counter()
        end.wait()
        seconds.append(time.perf_counter() - began)
    for worker in workers:
        worker.join()
    return seconds


def time_deployed(out: Path, folders: dict[str, Path], protocol: str) -> dict[str, list[float]]:
    root = out / "deployment"
    root.mkdir()
    consortium = Consortium(root, protocol, folders)
    try:
        consortium.found()
        consortium.start()
        run = consortium.submit()
        print(consortium.outcome(run, 1800)["event"], flush=True)
        asked = [one for one in consortium.events(run) if one["event"] == "asked"]
    finally:
        consortium.stop_all()
    return {
        "train": [one["seconds"] for one in asked if one["stage"] == "train"],
        "stack": [one["seconds"] for one in asked if one.get("step") == "stack"],
        "heads": [one["seconds"] for one in asked if one.get("step") == "heads"],
        "calibrate": [one["seconds"] for one in asked if one["stage"] == "calibrate"],
    }


def time_simulated(out: Path, folders: dict[str, Path], study: Study) -> list[float]:
    run = RunFolder.begin(out / "simulated", study)
    federate(run, folders, list(all_names()), lambda stage, detail: None)
    asked = [one for one in run.events() if one["event"] == "asked"]
    return [one["seconds"] for one in asked if one["stage"] == "train"]


def rows(out: Path, rounds: int = 9) -> list[Row]:
    """Time all of it; the first round of each warms caches up and does not count."""
    out = out.absolute()
    out.mkdir(parents=True, exist_ok=True)
    text = study_text(rounds)
    study = parse_study(text + roster_text())
    folders = make_sites(out, study)
    alone = [time_plain(folders, study, rounds)[1:]]
    simulated = time_simulated(out, folders, study)[1:]
    alone.append(time_plain(folders, study, rounds)[1:])
    deployed = time_deployed(out, folders, text)
    alone.append(time_plain(folders, study, rounds)[1:])
    kept = statistics.median(time_plain(folders, study, rounds, as_a_worker=True)[1:])
    pace = [statistics.median(before + after) for before, after in pairwise(alone)]
    against = "the same steps in plain torch, a process a site"
    made = [
        Row(
            f"a federated round, 3 sites, {where}",
            against,
            "times as long",
            goal,
            [one / plain for one in seconds],
            f"{statistics.median(seconds):.2f} s against {plain:.2f} s; "
            f"plain with memory kept: {kept:.2f} s",
            at_most=True,
        )
        for where, goal, seconds, plain in (
            ("simulation", 1.05, simulated, pace[0]),
            ("deployment on loopback", 1.15, deployed["train"][1:], pace[1]),
        )
    ]
    empty = [*deployed["stack"], *deployed["heads"], *deployed["calibrate"]]
    print(f"questions without training: {', '.join(f'{one:.2f}' for one in empty)} s")
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--rounds", type=int, default=9)
    given = parser.parse_args()
    show(rows(given.out, given.rounds))


if __name__ == "__main__":
    main()
