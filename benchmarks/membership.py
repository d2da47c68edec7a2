"""Who was in the training? `python benchmarks/membership.py OUT [--models 16] [--patients 24]`.

Two attacks of membership inference on released models. At each of the consortium's three training
sites there is a pool of phantom patients. Each release is a whole federated study, in this process
and under secure summation, on a random half of every pool, as large in each class for all releases.
It then scores the whole pool as `myofed predict` does.

    python benchmarks/membership.py OUT
    python benchmarks/membership.py OUT --set 'privacy.epsilon=8.0' 'training.rounds=5'

The attacks know the images and the true class of every patient of the pool, and the release.

- threshold: the lower its log-loss, the more likely the patient took part (Yeom et al., Privacy
  risk in machine learning, CSF 2018). It needs nothing but the release.
- likelihood ratio: the other releases are the attacker's reference models, with the same protocol,
  seed and network at the start, and it knows who was in each. A patient's confidence is compared
  with those of the references that had it and of those that had not (Carlini et al., Membership
  inference attacks from first principles, S&P 2022). This is far more than an outsider has.

Told are the AUC of members against others over all pairs of release and patient, with its 95 %
interval (bootstrap of patients; the releases stay as they are), and how many members are found when
1 % of the others are taken for members. Twice: of all who took part, and of those alone whose
slices were trained on, without a study's validation patients. 0.5 is a coin.

`--set section.key=value` changes the study, in the words of its file. OUT/results.json has the
tables; OUT/releases.json what each release told. Releases that are there are not trained again.
"""

from __future__ import annotations

import argparse
import json
import logging
import shutil
import time
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from in_process import run_near
from membership_attacks import Told, judged

from client.cohort.folds import seed_of
from client.cohort.patients import Patient
from client.cohort.rows import load_rows
from client.cohort.site_folder import SiteFolder
from client.cohort.table import CohortRow, read_table
from client.phantoms.consortium import DEFAULT, NEGATIVE, POSITIVE, make_consortium
from client.predict import predict
from common.files import write_json
from common.heads import MODELS
from common.release import Release
from common.study import Study

SITES = tuple(site for site in DEFAULT if site.role == "train")
SLICES, MYOCARDIUM = 2, 2

# The roster is complete without an external site: nothing is asked of one before the release.
STUDY = """
name = "membership"
folds = 1
[cohort]
minimum_patients_per_class = 2
[cnn]
width = 0.1
[training]
rounds = 10
averaged_rounds = 5
[fusion]
patient_score = "mean"
"""


def main() -> None:
    given = read_arguments()
    logging.getLogger("flwr").setLevel(logging.WARNING)
    study = study_of(given.changes)
    pool = make_pool(given.out / f"pool-{given.patients}-{given.seed}", given, study)
    place = f"{study.fingerprint[:12]}-{given.patients}-{given.seed}"
    releases = [remembered(given, study, pool, place, number) for number in range(given.models)]
    listed = [(name, one.label) for name, site in pool.items() for one in in_order(site)]
    told = Told(
        labels=np.array([label for _, label in listed]),
        sites=np.array([name for name, _ in listed]),
        enrolled=np.array([one["enrolled"] for one in releases]) == 1,
        trained=np.array([one["trained"] for one in releases]) == 1,
        scores={m: np.array([one["scores"][m] for one in releases]) for m in MODELS},
    )
    found = {
        "settings": {name: value for name, value in vars(given).items() if name != "out"},
        "pool": len(listed),
        "median_seconds": float(np.median([one["seconds"] for one in releases])),
        "models": judged(told, given.seed),
    }
    path = given.out / "results.json"
    results: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    write_json(path, results | {f"{place}-{given.models}": found})
    show(found)


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--models", type=int, default=16, help="releases, three or more")
    parser.add_argument("--patients", type=int, default=24, help="of each site in each release")
    parser.add_argument("--seed", type=int, default=1, help="of the phantoms and the halves")
    parser.add_argument("--set", nargs="+", action="extend", default=[], dest="changes")
    given = parser.parse_args()
    given.out = given.out.absolute()
    if given.models < 3 or given.patients < 4:
        parser.error("give three models or more, and four patients or more")
    return given


def study_of(changes: list[str]) -> Study:
    """The study of every release; its seed too, since whoever holds a release can read that."""
    content: dict[str, Any] = tomllib.loads(STUDY)
    content["sites"] = [{"name": site.name, "role": site.role} for site in SITES]
    for change in changes:
        merge(content, tomllib.loads(change))
    return Study.model_validate(content)


def merge(content: dict[str, Any], change: Mapping[str, Any]) -> None:
    for key, value in change.items():
        if isinstance(value, dict) and isinstance(content.get(key), dict):
            merge(content[key], value)
        else:
            content[key] = value


def make_pool(out: Path, given: argparse.Namespace, study: Study) -> dict[str, SiteFolder]:
    """All patients of each site, measured once, in a site folder of their own."""
    pool = {}
    for site in SITES:
        folder = out / site.name
        if not (folder / "site.json").exists():
            tables = make_consortium(
                out / "phantoms", given.seed, 2 * given.patients, [site], slices=SLICES
            )
            # An odd one out of a class would make membership rarer in it than in others.
            rows = read_table(tables[0]).rows
            even = [row for rows in by_class(rows) for row in rows[: len(rows) // 2 * 2]]
            make_site(folder, site.name, even)
        pool[site.name] = SiteFolder.open(folder)
        load_rows(pool[site.name], study, external=True, workers=1)
    return pool


def by_class(rows: Iterable[CohortRow]) -> list[list[CohortRow]]:
    listed = sorted(rows, key=lambda row: row.patient_id)
    return [[row for row in listed if row.label == name] for name in (NEGATIVE, POSITIVE)]


def make_site(folder: Path, name: str, rows: list[CohortRow]) -> SiteFolder:
    return SiteFolder.create(
        folder,
        rows,
        name=name,
        source="table",
        myocardium=MYOCARDIUM,
        positive=POSITIVE,
        negative=NEGATIVE,
    )


def remembered(
    given: argparse.Namespace, study: Study, pool: dict[str, SiteFolder], place: str, number: int
) -> dict[str, Any]:
    """What a release told: trained now, or read where it was before."""
    path = given.out / "releases.json"
    kept: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    key = f"{place}-{number}"
    if key not in kept:
        began = time.monotonic()
        folder = given.out / place / f"release-{number:02d}"
        shutil.rmtree(folder, ignore_errors=True)
        told = release_and_score(folder, study, pool, seed_of(given.seed, "halves", number))
        kept[key] = {"seconds": round(time.monotonic() - began, 1), **told}
        write_json(path, kept)
        print(f"release {number}: {kept[key]['seconds']} s", flush=True)
    one: dict[str, Any] = kept[key]
    return one


def release_and_score(
    folder: Path, study: Study, pool: dict[str, SiteFolder], seed: int
) -> dict[str, Any]:
    """Train on a random half of each pool; who took part, and the score of every patient."""
    sites = {}
    for name, whole in pool.items():
        generator = np.random.default_rng(seed_of(seed, name))
        half = [
            rows[index]
            for rows in by_class(whole.table.rows)
            for index in generator.permutation(len(rows))[: len(rows) // 2]
        ]
        sites[name] = make_site(folder / "sites" / name, name, half)
        # An entry of the cache is named by what it was measured on, so the halves can share them.
        sites[name].cache.symlink_to(whole.cache)
    run_near(study, {name: site.path for name, site in sites.items()}, folder / "run")
    release = Release.load(folder / "run" / "release")
    enrolled, trained = [], []
    scores: dict[str, list[float]] = {model: [] for model in MODELS}
    for name, whole in pool.items():
        rows = load_rows(sites[name], study, external=False, workers=1)
        # With several folds, whoever validates in one is trained on in the others.
        trains = rows.folds != 0 if study.folds == 1 else np.ones(rows.folds.size, np.bool_)
        taught = {one for one, yes in zip(rows.patient_ids, trains, strict=True) if yes}
        for one in predict(release, whole.table_path, MYOCARDIUM, whole.cache, workers=1).patients:
            enrolled.append(int(one.patient_id in rows.patient_ids))
            trained.append(int(one.patient_id in taught))
            for model in MODELS:
                scores[model].append(one.scores[model])
    return {"enrolled": enrolled, "trained": trained, "scores": scores}


def in_order(site: SiteFolder) -> list[Patient]:
    """The patients of a site in the order in which they are scored."""
    return sorted(site.patients(), key=lambda patient: patient.patient_id)


def show(found: dict[str, Any]) -> None:
    settings, models = found["settings"], found["models"]
    print(
        f"{settings['models']} releases, 3 sites of {settings['patients']} patients in each, "
        f"{found['median_seconds']:.0f} s a release;",
        "; ".join(settings["changes"]) or "the study as it is",
    )
    print(f"{'':28s} all who took part             those trained on")
    print(f"{'model':10s} {'attack':17s}", "AUC (95 %)          at 1 %   " * 2)
    for model, one in models.items():
        for attack, how in one["attacks"].items():
            cells = [
                f"{own['auc']:.3f} ({own['interval'][0]:.3f}-{own['interval'][1]:.3f}) "
                f"{100 * own['found']:5.1f} %  "
                for own in (how["enrolled"], how["trained"])
            ]
            print(f"{model:10s} {attack:17s}", *cells)
    print("AUC of the outcome within sites, of members and of others:")
    for model, one in models.items():
        print(f"{model:10s} {one['auc_of_members']:.3f} and {one['auc_of_others']:.3f}")


if __name__ == "__main__":
    main()
