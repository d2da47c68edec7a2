"""Five classifiers on M&Ms, HCM against NOR: one centre cut in three trains, the other is external.

    python benchmarks/mnms_comparison.py DATA OUT --external 1 --seeds 1 2 3

DATA is a folder in the layout that `myofed site import mnms` reads. Three parts train because trees
are grown under masks only, and two sites cannot hide from each other. Runs that are finished are
read, not repeated. Prints validation and external AUC of each classifier and of the three heads,
and what the comparison cost.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from finished import results_of
from mnms_study import changed

from client.cohort.importers import import_mnms
from common.heads import MODELS
from common.study_file import parse_study
from simulation.cli import run_study

PARTS = ("third-a", "third-b", "third-c")
TRAINS = "".join(f'[[sites]]\nname = "{name}"\nrole = "train"\n' for name in PARTS)
STUDY = f"""
name = "mnms-hcm-classifiers"
seed = {{seed}}
folds = {{folds}}

{TRAINS}
[[sites]]
name = "other"
role = "external"

[outcome]
positive = "HCM"
negative = "NOR"

# About sixteen patients a site: enough for a shift, too few for a scale of their own.
[harmonization]
mode = "mean_only"

[fusion]
patient_score = "mean"

[comparison]
classifiers = ["logistic", "svm", "perceptron", "forest", "boosting"]
"""


def main() -> None:
    arguments = read_arguments()
    for external in arguments.external:
        for seed in arguments.seeds:
            show(run_one(arguments, external, seed), external, seed)


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--external", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--set", nargs="*", default=[], dest="changes")
    return parser.parse_args()


def run_one(arguments: argparse.Namespace, external: int, seed: int) -> dict[str, Any]:
    folder = arguments.out / f"external{external}-seed{seed}"
    study = parse_study(changed(STUDY.format(seed=seed, folds=arguments.folds), arguments.changes))
    started = time.monotonic()
    while (content := results_of(folder / "run", study)) is None:
        if not (folder / "sites").exists():
            for number, name in enumerate(PARTS, start=1):
                out = folder / "sites" / name
                import_mnms(
                    arguments.data,
                    out,
                    name=name,
                    centre=3 - external,
                    part=(number, len(PARTS)),
                    seed=seed,
                )
            other = folder / "sites" / "other"
            import_mnms(arguments.data, other, name="other", centre=external)
        run_study(study, folder / "sites", folder / "run")
        print(f"{time.monotonic() - started:.0f} s")
    return content


def show(content: dict[str, Any], external: int, seed: int) -> None:
    print(f"external centre {external}, seed {seed}: validation; external")
    outside = content["external"]["other"]["models"]
    for model in MODELS:
        print(f"  {model:12s} {auc(content['validation'][model])}; {auc(outside[model])}")
    comparison = content["comparison"]
    for one in comparison["classifiers"]:
        print(f"  {one['name']:12s} {auc(one['validation'])}; {auc(one['external']['other'])}")
    print(f"  features a fold {comparison['features']}, {comparison['traffic']}", flush=True)


def auc(found: dict[str, Any]) -> str:
    return f"{found['auc']:.3f} ({found['auc_ci'][0]:.3f}-{found['auc_ci'][1]:.3f})"


if __name__ == "__main__":
    main()
