"""Whether the fast loops train as well: `python benchmarks/training_auc.py OUT [--seeds 1 2 3]`.

Trains on the pooled slices of the demo's three phantom hospitals, and scores as many patients whom
the same hospitals saw later. The loops of `benchmarks/training.py` begin from the same weights for
each seed; seeds draw weights, order, augmentation and dropout. Phantoms and measured slices are
kept in OUT.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from training import CROP, REFERENCE, loops, summary

from client.cohort.importers import import_table
from client.cohort.rows import SiteRows, load_rows
from client.cohort.site_folder import SiteFolder
from client.network.inference import look
from client.network.slices import Slices
from client.phantoms.consortium import DEFAULT, make_consortium
from common.cnn import initial_weights
from common.statistics.auc import auc_of_scores
from common.study import Study
from common.study_tables import Cnn

SITES = DEFAULT[:3]
SLICES = 2
EARLIER, LATER = 2026, 2027
"""Seeds of the phantoms that train, and of those that are scored."""


@dataclass(frozen=True)
class Pool:
    """The slices of several sites, and the patient of each (n,)."""

    slices: Slices
    patient: np.ndarray


def pool(out: Path, seed: int) -> Pool:
    """Make a consortium's patients once, and read their slices."""
    study = Study.model_validate(
        {"name": "auc", "sites": [{"name": site.name, "role": "train"} for site in SITES],
         "secure_sum": {"enabled": False}}
    )  # fmt: skip
    folders = [out / str(seed) / "sites" / site.name for site in SITES]
    if not folders[-1].exists():
        tables = make_consortium(out / str(seed) / "phantoms", seed, sites=SITES, slices=SLICES)
        for table, folder in zip(tables, folders, strict=True):
            names = {"positive": "scar", "negative": "none"}
            import_table(table, folder, name=folder.name, myocardium=2, **names)
    rows = [load_rows(SiteFolder.open(folder), study, external=True) for folder in folders]

    def joined(part: Callable[[SiteRows], np.ndarray]) -> np.ndarray:
        return np.concatenate([part(one) for one in rows])

    starts = np.cumsum([0] + [len(one.patient_ids) for one in rows])
    patients = [one.patient + start for one, start in zip(rows, starts, strict=False)]
    slices = Slices(
        joined(lambda one: one.images),
        joined(lambda one: one.masks),
        joined(lambda one: one.labels),
    )
    return Pool(slices, np.concatenate(patients))


def compare_auc(out: Path, seeds: Sequence[int], epochs: int, width: float) -> dict[str, Any]:
    """Give each loop's AUC by patient for each seed, and its difference to the reference's.

    Returns
    -------
    dict
        `auc[loop]` and `difference[loop]`: lists in the order of the seeds.
    """
    earlier, later = pool(out, EARLIER), pool(out, LATER)
    cnn = Cnn(width=width, dropout=0.3)
    compared = loops("geometry")
    found: dict[str, list[float]] = {name: [] for name in compared}
    for seed in seeds:
        start = initial_weights(width, cnn.dropout, CROP, seed)
        for name, (loop, training) in compared.items():
            trained = loop(start, earlier.slices, cnn, training, epochs, seed)
            found[name].append(auc_by_patient(trained.weights, later, cnn))
            print(f"seed {seed}, {name}: AUC {found[name][-1]:.3f}, loss {trained.loss:.4f}",
                  flush=True)  # fmt: skip
    reference = np.array(found[REFERENCE])
    difference = {name: list(np.array(aucs) - reference) for name, aucs in found.items()}
    return {"auc": found, "difference": difference}


def auc_by_patient(weights: np.ndarray, scored: Pool, cnn: Cnn) -> float:
    """The AUC of patients, whose score is the mean score of their slices."""
    scores = 1.0 / (1.0 + np.exp(-look(weights, scored.slices, cnn).logits))
    counts = np.bincount(scored.patient)
    positive = np.bincount(scored.patient, scored.slices.labels) > 0
    by_patient = np.bincount(scored.patient, scores) / counts
    return float(auc_of_scores(by_patient, positive.astype(np.int64)).auc)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--width", type=float, default=0.25)
    asked = parser.parse_args()
    found = compare_auc(asked.out, asked.seeds, asked.epochs, asked.width)
    for name, aucs in found["auc"].items():
        ends, apart = summary(aucs), found["difference"][name]
        spread = statistics.stdev(aucs) if len(aucs) > 1 else 0.0
        print(
            f"{name}: AUC {statistics.mean(aucs):.3f}, standard deviation {spread:.3f} "
            f"({ends['lowest']:.3f} to {ends['highest']:.3f}); "
            f"less that of the straightforward loop {statistics.mean(apart):+.3f}"
        )


if __name__ == "__main__":
    main()
