"""Fuse: select features from pooled moments, fit candidate heads by Newton rounds, choose, stack.

The CNN has seen the patients it trained on, so a head fitted on their deep features trusts these
too much. The radiomics and the deep head are therefore fitted each on its own, and the fused one
stacks them with weights from validation patients only: each of them scored by the fold that left
it out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from common.heads import VARIANTS, Head, Heads, below, heads_to_arrays, stack, under
from common.messages import Arrays, FuseAnswer, FuseQuestion
from common.release import FoldModel, folds_to_arrays
from common.statistics.discriminant import Discriminant, discriminant
from common.statistics.logistic import LogisticBatch
from common.statistics.moments import Moments, Standardized, standardize
from common.statistics.newton import LogisticProblem, LogisticState, first_state, next_state
from common.statistics.sums import total
from common.study import Study
from server.candidates import Candidate, Choice, candidates, choose, pack
from server.federation import Federation
from server.stages.enrol import Roster
from server.stages.harmonize import Harmonized

MOST_ROUNDS = 40


@dataclass(frozen=True, eq=False)
class Fused:
    """The folds with their heads; what was chosen for each (model, variant) with a LASSO.

    `stacks` are the fused heads' weights for the logits of radiomics and deep, by variant.
    """

    folds: list[FoldModel]
    choices: dict[tuple[str, str], Choice]
    stacks: dict[str, Discriminant]
    rounds: int


def run(
    federation: Federation,
    roster: Roster,
    study: Study,
    harmonized: Harmonized,
    weights: list[NDArray[np.float32]],
) -> Fused:
    """Fit the three heads of every fold, harmonised and not."""
    folds = [
        FoldModel(reference, means, network)
        for reference, means, network in zip(
            harmonized.references, harmonized.means, weights, strict=True
        )
    ]
    model = folds_to_arrays(folds) | {"class_weights": harmonized.class_weights}
    answers = federation.ask(
        FuseQuestion(study.fingerprint, "moments", model=model), roster.train, FuseAnswer
    )
    radiomic = folds[0].reference.alpha.size
    pooled: dict[str, Standardized] = {}
    found: list[Candidate] = []
    for fold in range(study.folds):
        for number, variant in enumerate(VARIANTS):
            group = f"{fold}.{number}"
            parts = [Moments.from_arrays(below(one.sums, group)) for one in answers.values()]
            pooled[group] = standardize(total(parts))
            found += candidates(fold, variant, pooled[group], radiomic, study.fusion)
    states, losses, rounds = _newton(
        federation, roster, study, found, pooled, harmonized.class_weights
    )
    choices = _choices(found, losses)
    heads = [_heads(fold, found, states, choices, pooled) for fold in range(study.folds)]
    stacks = _stacks(federation, roster, study, heads, harmonized.class_weights)
    complete = [
        FoldModel(fold.reference, fold.means, fold.weights, own | _fused(own, stacks))
        for fold, own in zip(folds, heads, strict=True)
    ]
    return Fused(complete, choices, stacks, rounds)


def _stacks(
    federation: Federation,
    roster: Roster,
    study: Study,
    heads: list[Heads],
    class_weights: NDArray[np.float64],
) -> dict[str, Discriminant]:
    """Weigh the two heads by how they score validation patients."""
    model: Arrays = {"class_weights": class_weights}
    for fold, own in enumerate(heads):
        model |= under(heads_to_arrays(own), str(fold))
    question = FuseQuestion(study.fingerprint, "stack", model=model)
    answers = federation.ask(question, roster.train, FuseAnswer)
    return {
        variant: discriminant(
            total([Moments.from_arrays(below(one.sums, variant)) for one in answers.values()])
        )
        for variant in VARIANTS
    }


def _fused(heads: Heads, stacks: dict[str, Discriminant]) -> Heads:
    deep = heads[("deep", "harmonized")]
    return {
        ("fused", variant): stack(heads[("radiomics", variant)], deep, own.intercept, own.weights)
        for variant, own in stacks.items()
    }


def _newton(
    federation: Federation,
    roster: Roster,
    study: Study,
    found: list[Candidate],
    pooled: dict[str, Standardized],
    class_weights: NDArray[np.float64],
) -> tuple[list[LogisticState], NDArray[np.float64], int]:
    """Take all problems through Newton rounds together; give states and validation losses.

    A round asks at every state's coefficients, the finished ones' too, so that the last round also
    brings the validation loss of each final head.
    """
    problems = [
        LogisticProblem.lasso(one.features.size, one.choice.inverse_penalty) for one in found
    ]
    states = [first_state(problem) for problem in problems]
    scales = _scales(pooled)
    losses = np.zeros((len(found), 2))
    rounds, last = 0, False
    while not last and rounds < MOST_ROUNDS:
        rounds += 1
        last = all(state.finished for state in states)
        packed = pack(found, [state.coef for state in states])
        question = FuseQuestion(
            study.fingerprint,
            "heads",
            problems=packed | scales | {"class_weights": class_weights},
        )
        answers = list(federation.ask(question, roster.train, FuseAnswer).values())
        for group in pooled:
            places = [k for k, one in enumerate(found) if one.group == group]
            sums, losses[places] = _added([below(one.sums, group) for one in answers])
            for k, own in zip(
                places, sums.split([found[k].features.size for k in places]), strict=True
            ):
                states[k] = next_state(problems[k], states[k], own)
    return states, losses, rounds


def _added(blocks: list[Arrays]) -> tuple[LogisticBatch, NDArray[np.float64]]:
    losses = np.sum([np.asarray(block.pop("validation"), np.float64) for block in blocks], axis=0)
    return total([LogisticBatch.from_arrays(block) for block in blocks]), losses


def _scales(pooled: dict[str, Standardized]) -> Arrays:
    scales: Arrays = {}
    for group, one in pooled.items():
        scales[f"{group}.mean"] = one.mean
        scales[f"{group}.sd"] = np.where(one.constant, 1.0, one.sd)
    return scales


def _choices(found: list[Candidate], losses: NDArray[np.float64]) -> dict[tuple[str, str], Choice]:
    """Choose for each (model, variant) by the loss over the validation patients of all folds."""
    chosen: dict[tuple[str, str], Choice] = {}
    for key in dict.fromkeys((one.model, one.variant) for one in found):
        added: dict[Choice, float] = {}
        for one, (loss, _) in zip(found, losses, strict=True):
            if (one.model, one.variant) == key:
                added[one.choice] = added.get(one.choice, 0.0) + float(loss)
        chosen[key] = choose(added)
    return chosen


def _heads(
    fold: int,
    found: list[Candidate],
    states: list[LogisticState],
    choices: dict[tuple[str, str], Choice],
    pooled: dict[str, Standardized],
) -> Heads:
    heads: Heads = {}
    for one, state in zip(found, states, strict=True):
        key = (one.model, one.variant)
        if one.fold == fold and one.choice == choices[key]:
            scale = pooled[one.group]
            heads[key] = Head(
                one.features, scale.mean[one.features], scale.sd[one.features], state.coef
            )
    return heads
