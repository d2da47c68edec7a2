"""How many dropouts a study survives: `python benchmarks/dropouts.py [--sites 100] [--runs 300]`.

By the coordinator's own account of sums (`server.sum_sets`), without any network: at each question
of training each site is away with a given chance, and back at the next one. Under masks every site
that is lost or comes back makes another set of sites, and a study allows only so many. Prints the
share of runs that come to their end without waiting for somebody, and how often a question was put
again on average.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

from common.console import show_wide, table_of
from common.errors import RunError
from common.study import Study
from server.sum_sets import SumSets

FOLDS, ROUNDS = 5, 15
CHANCES = (0.0001, 0.001, 0.01)
ALLOWED = (4, 16, 64, 256)


def study_of(sites: int, changes: int) -> Study:
    roster = [{"name": f"site{number:03d}", "role": "train"} for number in range(sites)]
    return Study.model_validate(
        {
            "name": "dropouts",
            "sites": roster,
            "quorum": {"min_sites": max(3, sites // 2)},
            "secure_sum": {"set_changes": changes},
        }
    )


def one_run(study: Study, chance: float, rng: np.random.Generator) -> tuple[bool, int]:
    """Say whether all questions of training were answered, and how many were put again."""
    names = list(study.training_sites)
    with tempfile.TemporaryDirectory() as folder:
        sets = SumSets(Path(folder) / "sets.json", study)
        away: set[str] = set()
        again = 0
        for fold in range(FOLDS):
            for number in range(1, ROUNDS + 1):
                exchange = f"train.{fold}.{number}"
                asked = sets.first(exchange, names, set(names), away)
                lost = {name for name in names if rng.random() < chance}
                missing = lost & set(asked)
                if missing:
                    left = tuple(name for name in asked if name not in missing)
                    try:
                        sets.next(exchange, left, dict.fromkeys(missing, "away"))
                    except RunError:
                        return False, again
                    again += 1
                away = lost
        return True, again


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sites", type=int, default=100)
    parser.add_argument("--runs", type=int, default=100)
    given = parser.parse_args()
    rows = []
    for chance in CHANCES:
        for allowed in ALLOWED:
            rng = np.random.default_rng(1)
            study = study_of(given.sites, allowed)
            runs = [one_run(study, chance, rng) for _ in range(given.runs)]
            ended = np.mean([done for done, _ in runs])
            put_again = np.mean([again for _, again in runs])
            rows.append([f"{chance:.2%}", str(allowed), f"{ended:.0%}", f"{put_again:.1f}"])
    columns = [
        "chance to be away at a question",
        "set_changes",
        "runs without a pause",
        "put again",
    ]
    title = f"{given.sites} sites, {FOLDS} folds of {ROUNDS} rounds"
    show_wide(table_of(title, columns, rows))


if __name__ == "__main__":
    main()
