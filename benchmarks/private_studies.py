"""Whole studies that hide each patient: `python benchmarks/private_studies.py OUT --data DATA`.

The external AUC by epsilon, everything covered, beside the same study without privacy: on phantoms
(three training sites, one external) and, with --data, on M&Ms (one centre cut in two trains, the
other is external; see benchmarks/mnms_study.py). Five radiomics, whose bounds were set beforehand
from what they are (areas and lengths of hearts in mm, walls of 4 to 20 mm, bits of 64 grey levels,
a share in 0 to 1), not from these images. Every draw is a run with secrets of its own, over site
folders of its own, so each has a fresh budget. Runs that are finished are read, not repeated.

    python benchmarks/private_studies.py OUT --draws 5
    python benchmarks/private_studies.py OUT --data DATA --phantoms 0 --draws 5
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
from pathlib import Path
from typing import Any

import mnms_study
from finished import results_of
from in_process import run_near

from client.cohort.importers import import_table
from client.phantoms.consortium import DEFAULT, make_consortium
from client.private.secret import SECRET_FILE
from client.private.spending import BUDGET_FILE
from common.heads import MODELS
from common.study_file import parse_study

PHANTOMS = """
name = "phantoms"
seed = 2026
folds = {folds}
[[sites]]
name = "aldgate"
role = "train"
[[sites]]
name = "bergamo"
role = "train"
[[sites]]
name = "coimbra"
role = "train"
[[sites]]
name = "dorpat"
role = "external"
[fusion]
patient_score = "mean"
"""
FEATURES = """
[privacy.features]
original_shape2D_PixelSurface = [500.0, 4500.0]
original_shape2D_PerimeterSurfaceRatio = [0.05, 0.45]
original_shape2D_MajorAxisLength = [40.0, 110.0]
original_firstorder_Entropy = [3.0, 6.0]
original_glcm_Idm = [0.0, 0.6]
"""
PRIVATE = """
[privacy]
epsilon = {epsilon}
delta = {delta}
"""
NO_NOISE = 1e6
"""An epsilon at which noise no longer shows: the price of few features and of one step."""


def main() -> None:
    given = read_arguments()
    rows: list[dict[str, Any]] = []
    cohorts = [f"phantoms, {given.phantoms} a site"] if given.phantoms else []
    cohorts += [f"M&Ms, centre {centre} external" for centre in given.external if given.data]
    for cohort in cohorts:
        for epsilon in (None, NO_NOISE, *given.epsilons):
            found = [run_one(given, cohort, epsilon, draw) for draw in range(draws(given, epsilon))]
            rows.append({"cohort": cohort, "epsilon": epsilon, **summary(found)})
            print_row(rows[-1])
    (given.out / "summary.json").write_text(json.dumps(rows, indent=2) + "\n")


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", type=Path, help="the folder of M&Ms")
    parser.add_argument("--external", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--phantoms", type=int, default=48, help="a site; 0 for none")
    parser.add_argument("--epsilons", type=float, nargs="+", default=[8.0, 4.0, 1.0])
    parser.add_argument("--delta", type=float, default=1e-4)
    parser.add_argument("--folds", type=int, default=1)
    parser.add_argument("--draws", type=int, default=5, help="of the noise")
    return parser.parse_args()


def draws(given: argparse.Namespace, epsilon: float | None) -> int:
    return 1 if epsilon in (None, NO_NOISE) else int(given.draws)


def run_one(
    given: argparse.Namespace, cohort: str, epsilon: float | None, draw: int
) -> dict[str, Any]:
    place = given.out / cohort.replace(", ", "-").replace(" ", "-")
    folder = place / f"epsilon-{epsilon or 'none'}-{draw}"
    text = PHANTOMS.format(folds=given.folds)
    if cohort.startswith("M&Ms"):
        text = mnms_study.STUDY.format(seed=1, folds=given.folds)
    study = parse_study(study_text(text, epsilon, given.delta))
    while (content := results_of(folder / "run", study)) is None:
        made = sites_of(given, cohort, place)
        shutil.rmtree(folder / "sites", ignore_errors=True)
        # Images and radiomics are shared; secret and budget are each draw's own.
        shutil.copytree(
            made, folder / "sites", symlinks=True,
            ignore=shutil.ignore_patterns(BUDGET_FILE, SECRET_FILE, "runs"),
        )  # fmt: skip
        run_near(study, {one.name: folder / "sites" / one.name for one in study.sites},
                 folder / "run")  # fmt: skip
    return content


def study_text(text: str, epsilon: float | None, delta: float) -> str:
    if epsilon is None:
        return text
    changes = ["training.rounds=1", "training.averaged_rounds=1", 'training.augmentation="none"',
               'harmonization.mode="mean_only"']  # fmt: skip
    own = PRIVATE.format(epsilon=epsilon, delta=delta) + FEATURES
    return mnms_study.changed(text, changes) + own


def sites_of(given: argparse.Namespace, cohort: str, place: Path) -> Path:
    out = place / "sites"
    if out.exists():
        return out
    if cohort.startswith("M&Ms"):
        centre = int(cohort.split()[2])
        made = argparse.Namespace(data=given.data, shuffle=False, cache=given.out / "cache")
        mnms_study.make_sites(made, out, centre, 1)
        return out
    for table in make_consortium(place / "phantoms", 2026, given.phantoms, DEFAULT, slices=2):
        name = table.parent.name
        import_table(table, out / name, name=name, positive="scar", negative="none", myocardium=2)
        cache = place / "cache" / name
        cache.mkdir(parents=True, exist_ok=True)
        (out / name / "cache").symlink_to(cache.resolve())
    return out


def summary(found: list[dict[str, Any]]) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for model in MODELS:
        [external] = found[0]["external"]
        aucs = [one["external"][external]["models"][model]["auc"] for one in found]
        row[model] = statistics.mean(aucs)
        row[f"{model}_sd"] = statistics.stdev(aucs) if len(aucs) > 1 else 0.0
        row[f"{model}_sensitivity"] = statistics.mean(
            one["external"][external]["models"][model]["sensitivity"] for one in found
        )
    row["draws"] = len(found)
    row["noise"] = (found[0].get("privacy") or {}).get("noise_multipliers")
    return row


def print_row(row: dict[str, Any]) -> None:
    cells = "  ".join(f"{model} {row[model]:.3f} ({row[f'{model}_sd']:.3f})" for model in MODELS)
    print(f"{row['cohort']:30s} epsilon {row['epsilon'] or 'none':>9}  {cells}", flush=True)


if __name__ == "__main__":
    main()
