"""A whole study against the same analysis centralised: `python benchmarks/centralised.py DATA OUT`.

HCM against NOR on M&Ms, one centre cut in two to train, the other external, as in mnms_study.py.
Centralised means: all training images in one folder, one process that has all cores, no messages
and no masks; the halves are ComBat's batches there too; network, rounds, selection, heads, stack
and threshold are the same code. Both begin with images that nobody has measured, and a patient is
in the same fold in both: which one it is moves the AUC of so few by more than what is asked.
Four folds: with five, one site's hold four validation patients, and its guard lets no sum over so
few out.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import numpy.typing as npt
import torch
from in_process import run_near
from mnms_study import STUDY, make_sites
from table import Row, show

from client.cli import extract_site
from client.cohort.folds import draw_folds
from client.cohort.site_folder import SiteFolder
from client.cohort.table import write_table
from common.study import Study
from common.study_file import parse_study
from simulation.cli import run_study

TRAINS = '[[sites]]\nname = "half-a"\nrole = "train"\n[[sites]]\nname = "half-b"\nrole = "train"\n'
POOLED = '[[sites]]\nname = "pooled"\nrole = "train"\n'


def rows(data: Path, out: Path, seeds: Sequence[int] = (1, 2), folds: int = 4) -> list[Row]:
    """Run both for each seed, centre 1 external."""
    gaps, ratios, details = [], [], []
    for seed in seeds:
        folder = out / f"seed{seed}"
        shutil.rmtree(folder, ignore_errors=True)
        given = argparse.Namespace(data=data, shuffle=False, cache=None)
        make_sites(given, folder / "sites", external=1, seed=seed)
        pool(folder / "sites")
        text = STUDY.format(seed=seed, folds=folds)
        began = time.monotonic()
        run_study(parse_study(text), folder / "sites", folder / "federated")
        between = time.monotonic()
        centralise(parse_study(pooled_text(text)), folder / "sites", folder / "centralised")
        ended = time.monotonic()
        federated, centralised = (fused(folder / name) for name in ("federated", "centralised"))
        gaps.append(abs(federated - centralised))
        ratios.append((between - began) / (ended - between))
        details.append(
            f"seed {seed}: AUC {federated:.3f} and {centralised:.3f}, "
            f"{between - began:.0f} s and {ended - between:.0f} s"
        )
        print(details[-1], flush=True)
    against = "the same analysis centralised"
    detail = "; ".join(details)
    name = "whole study on M&Ms, two training sites"
    return [
        Row(f"{name}: external AUC", against, "apart", 0.01, gaps, detail, at_most=True),
        Row(f"{name}: wall time", against, "times as long", 1.3, ratios, detail, at_most=True),
    ]


def pool(sites: Path) -> None:
    """Make a folder of both halves; which half a patient is of is its scanner."""
    halves = {name: SiteFolder.open(sites / name) for name in ("half-a", "half-b")}
    pooled = sites / "pooled"
    pooled.mkdir()
    about = json.loads((sites / "half-a" / "site.json").read_text(encoding="utf-8"))
    (pooled / "site.json").write_text(json.dumps(about | {"name": "pooled"}), encoding="utf-8")
    merged = [
        replace(row, covariates={**row.covariates, "scanner": name})
        for name, half in halves.items()
        for row in half.table.rows
    ]
    write_table(pooled / "cohort.csv", merged)
    other = SiteFolder.open(sites / "other")
    named = [replace(row, covariates={**row.covariates, "scanner": "other"})
             for row in other.table.rows]  # fmt: skip
    other.table_path.unlink()
    write_table(other.table_path, named)


def pooled_text(text: str) -> str:
    """Give the study over one training site whose batches are the halves."""
    changed = text.replace(TRAINS, POOLED)
    return changed.replace("[harmonization]\n", '[harmonization]\nbatch = "scanner"\n')


def centralise(study: Study, sites: Path, out: Path) -> None:
    """Measure on all cores, then run all stages in this process, torch on all cores."""
    folders = {site.name: sites / site.name for site in study.sites}
    for folder in folders.values():
        # The federated run has measured them, and this one is to measure them too.
        shutil.rmtree(folder / "cache", ignore_errors=True)
        extract_site(SiteFolder.open(folder), study)
    folds = folds_of_halves(sites, study)
    with all_cores(), patch("client.cohort.rows.draw_folds", lambda *_: folds):
        run_near(study, folders, out)


def folds_of_halves(sites: Path, study: Study) -> npt.NDArray[np.int64]:
    """Give each patient of the pooled folder, in the order of ids, the fold of its own half."""
    drawn: dict[str, int] = {}
    for name in ("half-a", "half-b"):
        patients = sorted(SiteFolder.open(sites / name).patients(), key=lambda one: one.patient_id)
        labels = np.array([patient.label for patient in patients], dtype=np.int64)
        folds = draw_folds(labels, study, name)
        drawn |= {one.patient_id: int(fold) for one, fold in zip(patients, folds, strict=True)}
    return np.array([drawn[one] for one in sorted(drawn)], dtype=np.int64)


@contextmanager
def all_cores() -> Iterator[None]:
    """Give torch all cores, whatever the code asks for."""
    torch.set_num_threads(os.cpu_count() or 1)
    with patch("torch.set_num_threads"):
        yield


def fused(run: Path) -> float:
    content = json.loads((run / "results.json").read_text(encoding="utf-8"))
    return float(content["external"]["other"]["models"]["fused"]["auc"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--folds", type=int, default=4)
    given = parser.parse_args()
    measured = rows(given.data, given.out, given.seeds, given.folds)
    show(measured)
    print(f"mean gap {statistics.mean(measured[0].values):.3f}")


if __name__ == "__main__":
    main()
