"""What secure summation costs: `python benchmarks/secure_sum.py OUT [--rounds 4] [--width 1.0]`.

Makes five phantom sites and runs the same study over real processes on this machine, with secure
summation and without, in turns. Prints the seconds of a round of training, the bytes that a site
sends in one, and how far the two results are from each other. Nothing else should run meanwhile.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "deployment"))

from consortium import Consortium

from client.cohort.importers import import_table
from client.cohort.rows import load_rows
from client.cohort.site_folder import SiteFolder
from client.phantoms.consortium import DEFAULT, make_consortium
from common.study_file import parse_study

NAMES = ("aldgate", "bergamo", "coimbra", "dorpat", "evora")
EXTERNAL = "faro"
PATIENTS, SLICES = 43, 4
LONG = 3600.0


def study_text(rounds: int, width: float, hides: bool) -> str:
    return (
        f'name = "secure-sum"\n[cnn]\nwidth = {width}\n'
        f"[training]\nrounds = {rounds}\naveraged_rounds = 1\n"
        '[fusion]\npatient_score = "mean"\n'
        f"[secure_sum]\nenabled = {str(hides).lower()}\n"
    )


def make_sites(out: Path) -> dict[str, Path]:
    """Make phantom sites; those beyond the demo's are copies of its last in other clothes."""
    kinds = [*DEFAULT, DEFAULT[0], DEFAULT[1]]
    sites = [replace(kind, name=name) for name, kind in zip((*NAMES, EXTERNAL), kinds, strict=True)]
    roster = "".join(f'[[sites]]\nname = "{name}"\nrole = "train"\n' for name in NAMES)
    study = parse_study('name = "cache"\n' + roster)
    folders = {}
    for table in make_consortium(out / "phantoms", 1, PATIENTS, sites, slices=SLICES):
        name = table.parent.name
        folders[name] = out / "sites" / name
        import_table(
            table, folders[name], name=name, positive="scar", negative="none", myocardium=2
        )
        rows = load_rows(SiteFolder.open(folders[name]), study, external=False, workers=2)
        print(name, int(rows.trains(0).sum()), "training slices", flush=True)
    return folders


def run_once(root: Path, folders: dict[str, Path], text: str) -> dict[str, Any]:
    """Run the study; give its rounds of training and its results."""
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    # Each run has sites of its own: a site trusts one coordinator.
    own = {name: root / "sites" / name for name in folders}
    for name, path in folders.items():
        shutil.copytree(path, own[name])
    consortium = Consortium(root, text, own, EXTERNAL)
    try:
        consortium.found()
        consortium.start()
        run = consortium.submit()
        print(consortium.outcome(run, LONG)["event"], flush=True)
        asked = [one for one in consortium.events(run) if one["event"] == "asked"]
        results = json.loads((consortium.run_folder(run) / "results.json").read_text("utf-8"))
    finally:
        consortium.stop_all()
    rounds = [one for one in asked if one["stage"] == "train"]
    sent = [held["sent_bytes"] for one in rounds for held in one["sites"].values()]
    models = results["external"][EXTERNAL]["models"]
    return {
        "seconds": [one["seconds"] for one in rounds],
        "bytes": max(sent),
        "other": round(sum(one["seconds"] for one in asked if one["stage"] != "train"), 1),
        "auc": {name: held["auc"] for name, held in models.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--turns", type=int, default=2)
    given = parser.parse_args()
    out = given.out.absolute()
    shutil.rmtree(out, ignore_errors=True)
    folders = make_sites(out)
    found: dict[bool, list[dict[str, Any]]] = {True: [], False: []}
    for _ in range(given.turns):
        for hides, held in found.items():
            text = study_text(given.rounds, given.width, hides)
            held.append(run_once(out / "deployment", folders, text))
            print(json.dumps({"secure summation": hides, **held[-1]}), flush=True)
    medians = {
        # The first round of each run warms caches up.
        hides: statistics.median([one for run in held for one in run["seconds"][1:]])
        for hides, held in found.items()
    }
    more = max(run["bytes"] for run in found[True]) / max(run["bytes"] for run in found[False])
    print(f"a round: {medians[True]:.2f} s with it, {medians[False]:.2f} s without")
    print(f"it costs {100 * (medians[True] / medians[False] - 1):.1f} % of a round; ", end="")
    print(f"{more:.3f} times the bytes")


if __name__ == "__main__":
    main()
