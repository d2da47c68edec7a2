"""HCM against NOR on M&Ms: one centre cut in two trains, the other is external. Both ways, by seed.

    python benchmarks/mnms_study.py DATA OUT --seeds 1 2 3 4 5
    python benchmarks/mnms_study.py DATA OUT --seeds 1 ... 10 --shuffle --external 1

DATA is a folder in the layout that `myofed site import mnms` reads (patients.csv, centreN/...).
Every run is a folder below OUT, made by the same code as `myofed simulate`; runs that are finished
are read, not repeated. `--shuffle` deals each site's labels anew among its patients, the external
site's too: then the external AUC must be 0.5 within its interval. (With the training sites' labels
alone it need not be: a model of random labels still points along the strongest direction of the
data, which is HCM, one way or the other.) `--set section.key=value` changes the study, for example
`--set 'harmonization.mode="parametric"'`.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
from finished import results_of

from client.cohort.importers import import_mnms
from client.cohort.patients import patients
from client.cohort.site_folder import SiteFolder
from client.cohort.table import CohortRow, write_table
from common.heads import MODELS
from common.study_file import parse_study
from simulation.cli import run_study

STUDY = """
name = "mnms-hcm"
seed = {seed}
folds = {folds}

[[sites]]
name = "half-a"
role = "train"
[[sites]]
name = "half-b"
role = "train"
[[sites]]
name = "other"
role = "external"

[outcome]
positive = "HCM"
negative = "NOR"

# About twenty patients a site: enough for a shift, too few for a scale of their own.
[harmonization]
mode = "mean_only"

[fusion]
patient_score = "mean"

# Two sites cannot hide from each other.
[secure_sum]
enabled = false
"""


def main() -> None:
    arguments = read_arguments()
    rows = []
    for external in arguments.external:
        for seed in arguments.seeds:
            rows.append(run_one(arguments, external, seed))
            print_row(rows[-1])
    for external in arguments.external:
        summarise([row for row in rows if row["external"] == external], external)
    kind = "shuffled" if arguments.shuffle else "true"
    (arguments.out / f"summary-{kind}.json").write_text(json.dumps(rows, indent=2) + "\n")


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--external", type=int, nargs="+", default=[1, 2])
    # With four, a half of 19 patients has a fold of four that validate: its guard keeps it back.
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--shuffle", action="store_true")
    parser.add_argument("--cache", type=Path, help="one radiomics cache for all runs")
    parser.add_argument("--set", nargs="*", default=[], dest="changes")
    return parser.parse_args()


def run_one(arguments: argparse.Namespace, external: int, seed: int) -> dict[str, Any]:
    kind = "-shuffled" if arguments.shuffle else ""
    folder = arguments.out / f"external{external}-seed{seed}{kind}"
    study = parse_study(changed(STUDY.format(seed=seed, folds=arguments.folds), arguments.changes))
    started = time.monotonic()
    while (content := results_of(folder / "run", study)) is None:
        if not (folder / "sites").exists():
            make_sites(arguments, folder / "sites", external, seed)
        run_study(study, folder / "sites", folder / "run")
    one = content["external"]["other"]
    row: dict[str, Any] = {
        "external": external,
        "seed": seed,
        "wall_seconds": round(time.monotonic() - started, 1),
    }
    for model in MODELS:
        row[model] = one["models"][model]["auc"]
        row[f"{model}_ci"] = one["models"][model]["auc_ci"]
        row[f"{model}_raw"] = one["unharmonized"][model]["auc"]
        row[f"{model}_validation"] = content["validation"][model]["auc"]
    return row


def changed(text: str, changes: list[str]) -> str:
    """Append changed keys, each in a table of its own section."""
    for change in changes:
        place, value = change.split("=", 1)
        section, key = place.rsplit(".", 1)
        line = f"{key} = {value}\n"
        header = f"[{section}]\n"
        text = re.sub(rf"(?m)^{re.escape(key)} = .*\n", "", text)
        text = text.replace(header, header + line) if header in text else f"{text}{header}{line}"
    return text


def make_sites(arguments: argparse.Namespace, out: Path, external: int, seed: int) -> None:
    train = 3 - external
    for number, name in ((1, "half-a"), (2, "half-b")):
        import_mnms(
            arguments.data, out / name, name=name, centre=train, part=(number, 2), seed=seed
        )
    import_mnms(arguments.data, out / "other", name="other", centre=external)
    if arguments.shuffle:
        for name in ("half-a", "half-b", "other"):
            deal_labels(SiteFolder.open(out / name), seed)
    if arguments.cache:
        arguments.cache.mkdir(parents=True, exist_ok=True)
        for site in out.iterdir():
            (site / "cache").symlink_to(arguments.cache.resolve())


def deal_labels(site: SiteFolder, seed: int) -> None:
    """Deal a site's labels anew among its patients."""
    table = site.table
    listed = patients(table, site.positive, site.negative)
    names = (site.negative, site.positive)
    dealt = np.random.default_rng(seed).permutation([patient.label for patient in listed])
    label = {p.patient_id: names[int(new)] for p, new in zip(listed, dealt, strict=True)}
    rows = [
        CohortRow(r.patient_id, r.image, r.mask, r.phase, label[r.patient_id], r.frame, r.slice,
                  r.covariates)
        for r in table.rows
    ]  # fmt: skip
    site.table_path.unlink()
    write_table(site.table_path, rows)


def print_row(row: dict[str, Any]) -> None:
    cells = [
        f"{model} {row[model]:.3f} ({row[f'{model}_ci'][0]:.3f}-{row[f'{model}_ci'][1]:.3f}), "
        f"not harmonised {row[f'{model}_raw']:.3f}, validation {row[f'{model}_validation']:.3f}"
        for model in MODELS
    ]
    print(f"external {row['external']} seed {row['seed']} {row['wall_seconds']:.0f} s: "
          + "; ".join(cells), flush=True)  # fmt: skip


def summarise(rows: list[dict[str, Any]], external: int) -> None:
    print(f"external centre {external}, {len(rows)} seeds: mean (sd)")
    for model in MODELS:
        for name in (model, f"{model}_raw"):
            values = [row[name] for row in rows]
            sd = statistics.stdev(values) if len(values) > 1 else 0.0
            print(f"  {name:15s} {statistics.mean(values):.3f} ({sd:.3f})")


if __name__ == "__main__":
    main()
