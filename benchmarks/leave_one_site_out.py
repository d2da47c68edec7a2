"""Leave one site out on M&Ms, HCM against NOR: both centres cut in two, so four sites.

    python benchmarks/leave_one_site_out.py DATA OUT
    python benchmarks/leave_one_site_out.py DATA OUT --seed 2 --set 'fusion.patient_score="max"'

DATA is a folder in the layout that `myofed site import mnms` reads (patients.csv, centreN/...). The
cut is that of `--part 1/2 --seed 0`, alike in labels, whatever the study's seed. The study is that
of benchmarks/mnms_study.py but for its roster, and secure summation is on: three sites are left
in each run. Runs that are finished are read, not repeated.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from mnms_study import changed

from client.cohort.importers import import_mnms
from common.leave_one_out_table import show_table
from common.study_file import parse_study
from simulation.leave_one_out import run_leaving_out

SITES = {"siemens-a": (1, 1), "siemens-b": (1, 2), "philips-a": (2, 1), "philips-b": (2, 2)}
"""Centre and half of each site."""

STUDY = """
name = "mnms-hcm"
seed = {seed}
folds = {folds}
leave_one_site_out = true

{roster}
[outcome]
positive = "HCM"
negative = "NOR"

# About twenty patients a site: enough for a shift, too few for a scale of their own.
[harmonization]
mode = "mean_only"

[fusion]
patient_score = "mean"
"""


def main() -> None:
    arguments = read_arguments()
    roster = "".join(f'[[sites]]\nname = "{name}"\nrole = "train"\n\n' for name in SITES)
    text = STUDY.format(seed=arguments.seed, folds=arguments.folds, roster=roster)
    study = parse_study(changed(text, arguments.changes))
    sites = arguments.out / "sites"
    for name, (centre, half) in SITES.items():
        if not (sites / name).exists():
            import_mnms(arguments.data, sites / name, name=name, centre=centre, part=(half, 2))
            if arguments.cache:
                arguments.cache.mkdir(parents=True, exist_ok=True)
                (sites / name / "cache").symlink_to(arguments.cache.resolve())
    started = time.monotonic()
    folder = arguments.out / f"seed{arguments.seed}-{study.fingerprint[:8]}"
    table = run_leaving_out(study, sites, folder)
    show_table(table, folder)
    print(f"{time.monotonic() - started:.0f} seconds")


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--cache", type=Path, help="one radiomics cache for all runs")
    parser.add_argument("--set", nargs="*", default=[], dest="changes")
    return parser.parse_args()


if __name__ == "__main__":
    main()
