"""What a choice of the study costs in AUC: `python benchmarks/same_auc.py OUT [--seeds 1 2 3]`.

The demo's three phantom hospitals train, under masks, and a fourth, made larger for this, is
external. Each seed is one study, in simulation: as it is by default, and with each choice that has
this seed, bfloat16 and rounds of 8 bits. Seeds draw folds, first weights, order, augmentation and
dropout; the patients are the same. Networks have learned by then: after the demo's 12 rounds some
have not yet begun, and a difference tells when they did. Also told: the bytes of a round, both
ways, over 4 bytes a weight each way.

With `--data DIR` rounds of 8 bits are compared on M&Ms too: centre 1 external, the other in two.

Runs that are finished are read, not repeated. A run takes two minutes on two cores, all of them 46
minutes, and a seed on M&Ms three.
"""

from __future__ import annotations

import argparse
import json
import statistics
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import mnms_study
from finished import results_of
from table import Row, show

from client.cohort.importers import import_table
from client.phantoms.consortium import DEFAULT, make_consortium
from common.cnn import initial_weights
from common.heads import MODELS
from common.study import Study
from common.study_file import parse_study
from simulation.cli import run_study

EXTERNAL = replace(DEFAULT[3], patients=300)
SITES = (*DEFAULT[:3], EXTERNAL)
SLICES = 3
SEEDS = {"bfloat16": tuple(range(1, 10)), "8 bits": (1, 2, 3, 4, 5)}
"""More where the seeds differ more."""
REAL_SEEDS = (1, 2, 3)
PLAIN = "as it is"
CHOICES = {PLAIN: "", "bfloat16": 'precision = "bfloat16"', "8 bits": 'transfer = "int8"'}
WITHIN = 0.005
MOST_BYTES = 0.3

PROTOCOL = """
name = "same-auc"
seed = {seed}
folds = 1
[cnn]
dropout = 0.3
[training]
rounds = 36
averaged_rounds = 12
local_epochs = 3
augmentation = "geometry"
{choice}
[fusion]
patient_score = "mean"
"""


def rows(out: Path, seeds: Mapping[str, Sequence[int]] = SEEDS) -> list[Row]:
    """Run what is not there yet, and compare each choice with the study as it is, seed by seed."""
    sites = made_sites(out)
    roster = "".join(f'[[sites]]\nname = "{site.name}"\nrole = "{site.role}"\n' for site in SITES)

    def run_of(name: str, seed: int) -> Path:
        run = out / f"{name.replace(' ', '-')}-{seed}"
        study = parse_study(PROTOCOL.format(seed=seed, choice=CHOICES[name]) + roster)
        if results_of(run, study) is None:
            run_study(study, sites, run)
            print(run.name, {model: round(one, 4) for model, one in aucs(run).items()}, flush=True)
        return run

    found = {name: [run_of(name, seed) for seed in seeds[name]] for name in seeds}
    compared = [
        auc_row(
            f"AUC with {name}",
            [aucs(run) for run in found[name]],
            [aucs(run_of(PLAIN, seed)) for seed in seeds[name]],
        )
        for name in seeds
    ]
    return [*compared, bytes_row(found["8 bits"])]


def made_sites(out: Path) -> Path:
    """Make the patients once."""
    folder = out / "sites"
    if not folder.exists():
        for table in make_consortium(out / "phantoms", 2026, sites=SITES, slices=SLICES):
            name = table.parent.name
            names = {"positive": "scar", "negative": "none"}
            import_table(table, folder / name, name=name, myocardium=2, **names)
    return folder


def aucs(run: Path) -> dict[str, float]:
    """Give each model's AUC at the external site."""
    models = _results(run)["external"][EXTERNAL.name]["models"]
    return {model: float(models[model]["auc"]) for model in MODELS}


def real_rows(out: Path, data: Path, seeds: Sequence[int] = REAL_SEEDS) -> list[Row]:
    """Compare rounds of 8 bits with rounds of 32 on M&Ms, centre 1 external."""
    found: dict[str, list[dict[str, float]]] = {}
    for name, change in (("32 bits", []), ("8 bits", ['training.transfer="int8"'])):
        given = Namespace(data=data, out=out / f"mnms-{name.replace(' ', '-')}", folds=4,
                          shuffle=False, cache=None, changes=change)  # fmt: skip
        runs = [mnms_study.run_one(given, 1, seed) for seed in seeds]
        found[name] = [{model: float(run[model]) for model in MODELS} for run in runs]
    what = "AUC with 8 bits on M&Ms, centre 1 external"
    return [auc_row(what, found["8 bits"], found["32 bits"])]


def auc_row(
    what: str, chosen: Sequence[dict[str, float]], plain: Sequence[dict[str, float]]
) -> Row:
    """Compare the AUC of a choice, seed by seed, with that of the study as it is."""
    gaps = {
        model: [one[model] - other[model] for one, other in zip(chosen, plain, strict=True)]
        for model in MODELS
    }
    whole = statistics.mean(one["fused"] for one in plain)
    told = "; ".join(
        f"{model} {statistics.mean(gap):+.4f} ({min(gap):+.4f} to {max(gap):+.4f})"
        for model, gap in gaps.items()
    )
    return Row(
        f"{what}, {len(gaps['fused'])} seeds, mean difference of the fused model",
        "the same study without, the same seeds",
        "apart",
        WITHIN,
        [abs(statistics.mean(gaps["fused"]))],
        f"{told}; fused without {whole:.3f}",
        at_most=True,
    )


def bytes_row(runs: Sequence[Path]) -> Row:
    """Give the bytes of each site in each round of training, over 4 bytes a weight each way."""
    shares = []
    for run in runs:
        study = Study.model_validate_json((run / "study.json").read_text(encoding="utf-8"))
        cnn = study.cnn
        size = initial_weights(cnn.width, cnn.dropout, study.preprocessing.crop, study.seed).size
        for line in (run / "events.jsonl").read_text(encoding="utf-8").splitlines():
            event = json.loads(line)
            if event["event"] == "asked" and event["stage"] == "train":
                shares += [
                    (site["received_bytes"] + site["sent_bytes"]) / (2 * 4 * size)
                    for site in event["sites"].values()
                ]
    return Row(
        "bytes of a round with 8 bits, both ways, under masks",
        "4 bytes a weight",
        "of them",
        MOST_BYTES,
        shares,
        f"{size:,} weights",
        at_most=True,
    )


def _results(run: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((run / "results.json").read_text(encoding="utf-8"))
    return content


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", help="for each choice; by default its own")
    parser.add_argument("--data", type=Path, help="M&Ms")
    given = parser.parse_args()
    out = given.out.absolute()
    seeds = dict.fromkeys(SEEDS, given.seeds) if given.seeds else SEEDS
    show([*rows(out, seeds), *(real_rows(out, given.data) if given.data else ())])


if __name__ == "__main__":
    main()
