"""Compare classifiers with the networks of a finished run: all of a study but its training.

    python benchmarks/classifiers.py RUN SITES OUT
    python benchmarks/classifiers.py RUN SITES OUT --set comparison.forest.trees=30

RUN is the folder of a finished run, SITES its site folders, OUT a folder for what is made. Features
and heads are made anew from the networks in RUN/release, so they are those of RUN, and the
comparison is what `myofed simulate` gives with the same table `[comparison]`. Every classifier is
compared, unless the run's study or `--set` says otherwise.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from threading import Event
from typing import Any

from in_process import NearGrid, quiet

from common.feature_names import all_names
from common.heads import MODELS
from common.release import Release
from common.study import Study
from server.comparison_results import comparison_results
from server.federation import Federation
from server.run import RunFolder
from server.stages import calibrate, compare, enrol, fuse, harmonize, validate
from simulation.workers import local_worker

EVERY = ["logistic", "svm", "perceptron", "forest", "boosting"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("sites", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--set", nargs="*", default=[], dest="changes")
    arguments = parser.parse_args()
    release = Release.load(arguments.run / "release")
    study = study_of(release.study, arguments.changes)
    content = json.loads((arguments.run / "results.json").read_text("utf-8"))
    show(compared(study, release, arguments.sites, arguments.out), content)


def study_of(study: Study, changes: list[str]) -> Study:
    """Give the run's study with a comparison, and with values changed by their dotted keys."""
    content = study.model_dump(mode="json")
    if not study.comparison.on:
        content["comparison"]["classifiers"] = EVERY
    for change in changes:
        place, value = change.split("=", 1)
        *sections, key = place.split(".")
        table = content
        for name in sections:
            table = table[name]
        table[key] = json.loads(value)
    return Study.model_validate(content)


def compared(study: Study, release: Release, sites: Path, out: Path) -> dict[str, Any]:
    """Run every stage but training, and give the comparison as results.json has it."""
    keys = tuple(bytes([number]) * 32 for number in range(len(study.sites)))
    workers = {
        site.name: local_worker(str(sites / site.name), study.canonical(), keys, place)
        for place, site in enumerate(study.sites)
    }
    grid, run = NearGrid(workers), RunFolder.begin(out, study)
    federation = Federation(grid, run, grid, quiet, Event())  # type: ignore[arg-type]
    roster = enrol.run(federation, run)
    harmonized = harmonize.run(federation, roster, study, len(all_names()))
    weights = [fold.weights for fold in release.folds]
    fused = fuse.run(federation, roster, study, harmonized, weights)
    calibrated = calibrate.run(federation, roster, fused.sites, study, fused.folds)
    found = compare.run(
        federation, roster, fused.sites, study, fused.folds, harmonized.class_weights
    )
    validate.run(federation, roster, study, fused.folds, calibrated.thresholds)
    looked = compare.look(federation, roster, study, found)
    comparison = comparison_results(study, found, looked, run.events())
    (out / "comparison.json").write_text(json.dumps(comparison, indent=2) + "\n", "utf-8")
    return comparison


def show(comparison: dict[str, Any], content: dict[str, Any]) -> None:
    for model in MODELS:
        outside = {site: one["models"][model] for site, one in content["external"].items()}
        row(model, content["validation"][model], outside)
    for one in comparison["classifiers"]:
        row(one["name"], one["validation"], one["external"])
    print(f"features of the folds {comparison['features']}; {comparison['traffic']}")


def row(name: str, validation: dict[str, Any], external: dict[str, Any]) -> None:
    cells = [f"{name:12s} validation {interval(validation)}"]
    cells += [
        f"{site} {interval(own)}, sensitivity {own['sensitivity']:.2f}, "
        f"specificity {own['specificity']:.2f}"
        for site, own in external.items()
    ]
    print("; ".join(cells), flush=True)


def interval(found: dict[str, Any]) -> str:
    return f"{found['auc']:.3f} ({found['auc_ci'][0]:.3f}-{found['auc_ci'][1]:.3f})"


if __name__ == "__main__":
    main()
