"""Newton rounds of all candidate heads together: one question a round, over all folds and variants.

Every round costs a message to each site, so the heads begin near their answers (see
`common.statistics.newton_start`) and all of them are in every message.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from common.course import MOST_NEWTON_ROUNDS
from common.heads import below, under
from common.messages import Arrays, EnrolAnswer, FuseAnswer, FuseQuestion
from common.statistics.logistic import LogisticBatch, batch_shapes
from common.statistics.newton import LogisticProblem, LogisticState, first_state, next_state
from common.statistics.newton_start import newton_start
from server.candidates import Candidate, pack
from server.federation import Federation
from server.firewall import ROUNDING, require, require_arrays
from server.reduction import Columns
from server.roster import Roster
from server.total import total


def newton_rounds(
    federation: Federation,
    sites: Sequence[str],
    roster: Roster,
    found: Sequence[Candidate],
    pooled: Mapping[str, Columns],
    class_weights: NDArray[np.float64],
) -> tuple[list[LogisticState], NDArray[np.float64], int]:
    """Fit all candidates; give their states, validation losses and weights (n, 2), and the rounds.

    The losses are those at the last coefficients that were asked about; the last step, taken
    unseen, is shorter than the losses' own rounding when heads are chosen. Should other sites
    answer than in the round before, the sums are those of other patients, and what had converged
    goes on.
    """
    problems = [
        LogisticProblem.lasso(one.features.size, one.choice.inverse_penalty) for one in found
    ]
    states = [
        first_state(problem, newton_start(pooled[one.group].moments, one.features, problem))
        for problem, one in zip(problems, found, strict=True)
    ]
    scales = _scales(pooled)
    losses = np.zeros((len(found), 2))
    sizes = {group: [one.features.size for one in found if one.group == group] for group in pooled}
    check = _check_against(sizes, float(class_weights.max()))
    asked_before: tuple[str, ...] = ()
    rounds = 0
    while not all(state.finished for state in states) and rounds < MOST_NEWTON_ROUNDS:
        rounds += 1
        packed = pack(found, [state.coef for state in states])
        question = FuseQuestion(
            federation.run.study.fingerprint,
            "heads",
            round=rounds,
            problems=packed | scales | {"class_weights": class_weights},
        )
        pooled_sums = total(federation, question, roster, sites, FuseAnswer, check)
        if asked_before and pooled_sums.sites != asked_before:
            states = [
                first_state(problem, state.coef)
                for problem, state in zip(problems, states, strict=True)
            ]
        asked_before = pooled_sums.sites
        for group in pooled:
            places = [k for k, one in enumerate(found) if one.group == group]
            block = below(pooled_sums.answer.sums, group)
            losses[places] = block.pop("validation")
            sums = LogisticBatch.from_arrays(block)
            for k, own in zip(places, sums.split(sizes[group]), strict=True):
                states[k] = next_state(problems[k], states[k], own)
    return states, losses, rounds


def _check_against(
    sizes: Mapping[str, Sequence[int]], heaviest: float
) -> Callable[[EnrolAnswer, FuseAnswer], None]:
    """Say what sums must be like, where no row weighs more than `heaviest`."""
    shapes: dict[str, tuple[int, ...]] = {}
    for group, own in sizes.items():
        shapes |= {f"{group}.{name}": shape for name, shape in batch_shapes(own).items()}
        shapes[f"{group}.validation"] = (len(own), 2)

    def check(enrolled: EnrolAnswer, answer: FuseAnswer) -> None:
        require_arrays("its sums of the heads", answer.sums, shapes)
        for group in sizes:
            block = {
                name: np.asarray(answer.sums[f"{group}.{name}"], np.float64)
                for name in ("losses", "weights", "validation")
            }
            for values in block.values():
                require((values >= 0.0).all(), "a loss or a weight in its sums is negative")
            most = heaviest * (1.0 + ROUNDING)
            patients = enrolled.positive + enrolled.negative
            fits = (block["weights"] <= most * enrolled.slices).all()
            fits = fits and (block["validation"][:, 1] <= most * patients).all()
            require(fits, "its rows weigh more than those it enrolled")

    return check


def _scales(pooled: Mapping[str, Columns]) -> Arrays:
    scales: Arrays = {}
    for group, one in pooled.items():
        scales |= under(one.arrays(), group)
    return scales
