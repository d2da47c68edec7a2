"""Search: hyperband over federated rounds; which settings the study's networks are trained by.

Trials are trained on the training patients of the first fold and measured on its validation
patients, never on an external site's. What became of each is written down before the next is
asked, so a run that was killed goes on where it stopped.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from common.files import write_json
from common.hyperband import Rung
from common.messages import EnrolAnswer, SearchQuestion, TrainAnswer
from common.statistics.logistic import balanced_weights
from common.statistics.scores import BINS
from common.study import Study
from common.trials import FOLD, OWN, settings_of
from server.federation import Federation
from server.firewall import require, require_arrays, require_histograms
from server.roster import Roster
from server.run import RunFolder
from server.stages.harmonize import Harmonized
from server.stages.site_measures import SiteMeasures
from server.stages.train import (
    FoldTraining,
    Weights,
    auc_or_none,
    keep,
    network_weights,
    one_round,
    start_of,
    taken_up,
)
from server.strategies import Aggregator
from server.total import total

TRIED_FILE = "search.json"


@dataclass(frozen=True)
class Tried:
    """How a trial did on validation patients in a rung, after so many rounds.

    `loss` is infinite where nothing could be measured; `auc` is over all patients, None where it
    is not defined.
    """

    rung: int
    trial: int
    rounds: int
    loss: float
    auc: float | None


@dataclass(frozen=True)
class Searched:
    """The trial that was chosen, or `OWN` where nothing was searched; and every measurement."""

    chosen: int = OWN
    tried: tuple[Tried, ...] = ()

    def results(self, study: Study) -> dict[str, Any] | None:
        """Give the key ``search`` of results.json: each trial as it was measured last."""
        if self.chosen == OWN:
            return None
        last = {one.trial: one for one in self.tried}
        rows = [
            {
                "trial": number,
                **settings_of(study, number).numbers(),
                "rounds": one.rounds,
                "loss": round(one.loss, 6) if np.isfinite(one.loss) else None,
                "auc": one.auc,
            }
            for number, one in sorted(last.items())
        ]
        return {
            "budget": study.search.budget,
            "spent": sum(row["rounds"] for row in rows),
            "most_rounds": study.search.most_rounds,
            "eta": study.search.eta,
            "trials": rows,
            "chosen": {"trial": self.chosen, **settings_of(study, self.chosen).numbers()},
        }


def run(
    federation: Federation, run_folder: RunFolder, roster: Roster, harmonized: Harmonized
) -> Searched:
    """Try what the study's schedule says, and choose the trial of the lowest loss ever measured.

    Raises
    ------
    RunError
        The quorum does not hold.
    """
    study = run_folder.study
    book = _Book(run_folder.path / "checkpoint" / TRIED_FILE)
    best: list[int] = []
    for rung in study.search.rungs:
        trials = list(range(rung.first, rung.last + 1)) if rung.opens else best[: rung.places]
        # By number: what a site is asked in which order tells nothing of how trials did.
        trials = sorted(trials)
        for place, trial in enumerate(trials):
            if book.find(rung, trial) is None:
                book.add(_tried(federation, run_folder, roster, harmonized, rung, place, trial))
        best = book.best(rung, trials)
        for trial in set(trials) - set(_going_on(study, rung, best)):
            run_folder.drop(_name(trial))
    every = tuple(book.tried)
    chosen = min(every, key=lambda one: (one.loss, one.trial)).trial if every else OWN
    return Searched(chosen, every)


def _going_on(study: Study, rung: Rung, best: list[int]) -> list[int]:
    """Give the trials that the next rung goes on with: none where another bracket begins."""
    rungs = study.search.rungs
    if rung.number + 1 == len(rungs) or rungs[rung.number + 1].opens:
        return []
    return best[: rungs[rung.number + 1].places]


class _Book:
    """What was measured so far, kept in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        held = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
        self.tried = [Tried(**one) for one in held]

    def find(self, rung: Rung, trial: int) -> Tried | None:
        own = (one for one in self.tried if (one.rung, one.trial) == (rung.number, trial))
        return next(own, None)

    def add(self, one: Tried) -> None:
        self.tried.append(one)
        write_json(self._path, [asdict(each) for each in self.tried])

    def best(self, rung: Rung, trials: list[int]) -> list[int]:
        """Order a rung's trials by loss; of equal ones the lower number is better."""
        own = [one for one in self.tried if one.rung == rung.number and one.trial in trials]
        return [one.trial for one in sorted(own, key=lambda one: (one.loss, one.trial))]


def _tried(
    federation: Federation,
    run_folder: RunFolder,
    roster: Roster,
    harmonized: Harmonized,
    rung: Rung,
    place: int,
    trial: int,
) -> Tried:
    """Train a trial to the end of its rung, and measure it."""
    study = run_folder.study
    settings = settings_of(study, trial)
    classes = harmonized.classes[FOLD]
    class_weights = network_weights(study, np.array([balanced_weights(*classes.tolist())]))[0]
    aggregator = Aggregator(settings.training)
    state = taken_up(run_folder, aggregator, _name(trial))
    if state is None:
        start = start_of(study, settings, FOLD)
        state = FoldTraining(0, start, np.zeros(0, np.float32))

    def question(step: str, number: int, weights: Weights) -> SearchQuestion:
        return SearchQuestion(
            study.fingerprint,
            step,
            rung=rung.number,
            place=place,
            trial=trial,
            round=number,
            slices=int(classes.sum()),
            class_weights=class_weights,
            weights=weights,
        )

    while state.round < rung.rounds:
        asked = question("train", state.round + 1, state.weights)
        merged, _ = one_round(
            federation, roster, aggregator, asked, settings.training, SiteMeasures(study)
        )
        state.step(merged, counts=False)
        keep(run_folder, aggregator, _name(trial), state)
        federation.forget(asked)
    asked = question("measure", state.round, state.weights)
    found = total(federation, asked, roster, roster.train, TrainAnswer, _check_measured).answer
    loss, weight = (float(value) for value in found.validation)
    one = Tried(
        rung.number,
        trial,
        state.round,
        loss / weight if weight else float("inf"),
        auc_or_none(found.histogram),
    )
    if not run_folder.told(event="tried", rung=rung.number, trial=trial):
        run_folder.event(event="tried", stage="search", **asdict(one), **settings.numbers())
    return one


def _check_measured(own: EnrolAnswer, answer: TrainAnswer) -> None:
    """Require a measurement and nothing else, of a site or of several."""
    silent = not answer.change.size and not answer.loss and not answer.slices
    require(silent and not answer.patients, "it says more than how a trial does")
    require_arrays("its answer", {"validation": answer.validation}, {"validation": (2,)})
    require((answer.validation >= 0.0).all(), "its validation loss is negative")
    require_histograms(answer.histogram, (2, BINS), own)


def _name(trial: int) -> str:
    return f"search-{trial}"
