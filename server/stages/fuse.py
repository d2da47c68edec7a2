"""Fuse: select features from pooled moments, fit candidate heads by Newton rounds, choose, stack.

The CNN has seen the patients it trained on, so a head fitted on their deep features trusts these
too much. The radiomics and the deep head are therefore fitted each on its own, and the fused one
stacks them with weights from validation patients only: each of them scored by the fold that left
it out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from common.feature_names import DEEP_FEATURES
from common.heads import VARIANTS, Heads, below, heads_to_arrays, stack, under
from common.messages import Arrays, EnrolAnswer, FuseAnswer, FuseQuestion
from common.release import FoldModel, folds_to_arrays
from common.statistics.discriminant import Discriminant, discriminant
from common.statistics.distance import Distribution, shrunken
from common.statistics.leading_components import ComponentAxes, leading_components
from common.statistics.moments import Moments, moment_shapes, standardize
from common.statistics.newton import LogisticState
from common.statistics.scores import BINS
from common.statistics.sums import unpack_symmetric
from common.study import Study
from common.trials import OWN
from server.candidates import Candidate, Choice, candidates, choose
from server.federation import Federation
from server.firewall import (
    ROUNDING,
    require,
    require_arrays,
    require_count,
    require_histograms,
    require_products,
)
from server.newton_rounds import newton_rounds
from server.reduction import Columns, columns_of
from server.roster import Roster
from server.run import RunFolder
from server.stages.harmonize import Harmonized
from server.stages.train import network_weights, record
from server.total import total


@dataclass(frozen=True, eq=False)
class Fused:
    """The folds with their heads; what was chosen for each (model, variant) with a LASSO.

    `stacks` are the fused heads' weights for the logits of radiomics and deep, by variant;
    `sites` are those that took part; `columns` what the harmonised heads of each fold chose from;
    `distributions` are of the features that those heads use, none where a study hides each patient;
    `components` by fold and variant, where the study compares its sites by them.
    """

    folds: list[FoldModel]
    choices: dict[tuple[str, str], Choice]
    stacks: dict[str, Discriminant]
    rounds: int
    sites: tuple[str, ...]
    columns: Sequence[Columns] = ()
    distributions: tuple[Distribution, ...] = ()
    components: dict[str, ComponentAxes] = field(default_factory=dict)


def run(
    federation: Federation,
    roster: Roster,
    study: Study,
    harmonized: Harmonized,
    weights: list[NDArray[np.float32]],
    trial: int = OWN,
) -> Fused:
    """Fit the three heads of every fold, harmonised and not.

    `trial` is the one of the study's search by whose settings the networks are built.

    The sites that answer the first question are asked all the others: it leaves the features at
    the site.
    """
    folds = without_heads(harmonized, weights, trial)
    model = folds_to_arrays(folds) | {
        "class_weights": harmonized.class_weights,
        "network_weights": network_weights(study, harmonized.class_weights),
    }
    radiomic = folds[0].reference.alpha.size
    summed = total(
        federation,
        FuseQuestion(study.fingerprint, "moments", model=model),
        roster,
        roster.train,
        FuseAnswer,
        _moments_check(harmonized.class_weights, radiomic + DEEP_FEATURES),
    )
    # A site that was found unfit when the run went on is not asked again.
    sites = tuple(site for site in summed.sites if site in roster.train)
    pooled = _pooled(federation.run, summed.answer, radiomic, harmonized.icc)
    found = [
        one
        for fold in range(study.folds)
        for number, variant in enumerate(VARIANTS)
        for one in candidates(
            fold, variant, pooled[f"{fold}.{number}"], study.fusion, study.reduction
        )
    ]
    states, losses, rounds = newton_rounds(
        federation, sites, roster, found, pooled, harmonized.class_weights
    )
    choices = _choices(found, losses)
    heads = [_heads(fold, found, states, choices, pooled) for fold in range(study.folds)]
    stacks = _stacks(federation, sites, roster, study, heads, harmonized.class_weights)
    complete = [
        replace(fold, heads=own | _fused(own, stacks))
        for fold, own in zip(folds, heads, strict=True)
    ]
    columns = [pooled[f"{fold}.0"] for fold in range(study.folds)]
    distributions = () if study.privacy.on else _distributions(complete, pooled, summed.answer)
    components = {
        place: leading_components(own.scale, radiomic, study.report.components)
        for place, own in pooled.items()
        if study.report.site_card
    }
    return Fused(complete, choices, stacks, rounds, sites, columns, distributions, components)


def _distributions(
    folds: list[FoldModel], pooled: dict[str, Columns], answer: FuseAnswer
) -> tuple[Distribution, ...]:
    """Keep how the used features are distributed; none where a fold's heads use no feature."""
    found = []
    for number, fold in enumerate(folds):
        used = [
            head.features[head.coefficients[1:] != 0.0]
            for head in (fold.heads[(model, "harmonized")] for model in ("radiomics", "deep"))
        ]
        rows = int(answer.sums[f"{number}.0.count"])
        own = shrunken(pooled[f"{number}.0"].scale, np.concatenate(used), rows)
        if own is None:
            return ()
        found.append(own)
    return tuple(found)


def without_heads(
    harmonized: Harmonized, weights: Sequence[NDArray[np.float32]], trial: int = OWN
) -> list[FoldModel]:
    """Put what harmonisation and training made of each fold together."""
    parts = zip(harmonized.references, harmonized.means, weights, strict=True)
    return [FoldModel(*own, trial=trial) for own in parts]


def _stacks(
    federation: Federation,
    sites: Sequence[str],
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
    pooled = total(
        federation,
        question,
        roster,
        sites,
        FuseAnswer,
        lambda own, answer: _check_stack(own, class_weights, answer),
    ).answer
    return {
        variant: discriminant(Moments.from_arrays(below(pooled.sums, variant)))
        for variant in VARIANTS
    }


def _pooled(
    run_folder: RunFolder, answer: FuseAnswer, radiomic: int, icc: Sequence[NDArray[np.float64]]
) -> dict[str, Columns]:
    """Make the columns of each fold and variant of its moments; write down how the networks do."""
    study = run_folder.study
    folds = range(study.folds)
    rounds = study.training.rounds
    for fold in folds:
        validation = np.asarray(answer.sums[f"{fold}.validation"], np.float64)
        histogram = np.asarray(answer.sums[f"{fold}.histogram"], np.int64)
        record(run_folder, fold, rounds, validation, histogram, averaged=True)
    return {
        f"{fold}.{number}": columns_of(
            standardize(Moments.from_arrays(below(answer.sums, f"{fold}.{number}"))),
            radiomic,
            study.fusion,
            study.reduction,
            icc[fold] if icc else None,
        )
        for fold in folds
        for number in range(len(VARIANTS))
    }


def _moments_check(
    class_weights: NDArray[np.float64], features: int
) -> Callable[[EnrolAnswer, FuseAnswer], None]:
    """Say what moments must be like, of a site or of several."""
    folds = len(class_weights)
    shapes = {
        f"{fold}.{number}.{name}": shape
        for fold in range(folds)
        for number in range(len(VARIANTS))
        for name, shape in moment_shapes(features).items()
    }
    for fold in range(folds):
        shapes |= {f"{fold}.validation": (2,), f"{fold}.histogram": (2, BINS)}

    def check(own: EnrolAnswer, answer: FuseAnswer) -> None:
        require_arrays("its moments", answer.sums, shapes)
        for fold, weights in enumerate(class_weights):
            histogram = answer.sums[f"{fold}.histogram"]
            require_histograms(histogram, (2, BINS), own)
            validation = np.asarray(answer.sums[f"{fold}.validation"], np.float64)
            require((validation >= 0.0).all(), "its validation loss is negative")
            for number in range(len(VARIANTS)):
                block = below(answer.sums, f"{fold}.{number}")
                require_count("its number of slices", float(block["count"]), 1, own.slices)
                _require_moments(block, weights)

    return check


def _check_stack(own: EnrolAnswer, class_weights: NDArray[np.float64], answer: FuseAnswer) -> None:
    shapes = {
        f"{variant}.{name}": shape
        for variant in VARIANTS
        for name, shape in moment_shapes(2).items()
    }
    require_arrays("its moments", answer.sums, shapes)
    for variant in VARIANTS:
        block = below(answer.sums, variant)
        require_count("its number of slices", float(block["count"]), 0, own.slices)
        _require_moments(block, class_weights)


def _require_moments(block: Arrays, class_weights: NDArray[np.float64]) -> None:
    """Require moments that rows can have whose target is 0 or 1, each with a weight of a class."""
    sums = Moments.from_arrays(block)
    count, weight, positive = float(sums.count), float(sums.weight), float(sums.wy)
    lightest, heaviest = class_weights.min() * count, class_weights.max() * count
    fits = (1.0 - ROUNDING) * lightest <= weight <= (1.0 + ROUNDING) * heaviest
    require(fits, "its slices do not weigh what slices of their classes do")
    labelled = -ROUNDING * weight <= positive <= (1.0 + ROUNDING) * weight
    labelled = labelled and abs(float(sums.ywy) - positive) <= ROUNDING * weight
    require(labelled, "the labels in its moments are not 0 and 1")
    products = unpack_symmetric(sums.xwx, sums.wx.size)
    squares = np.diag(products)
    require_products("its moments", products, squares[:, None], squares)
    require_products("its moments", sums.wx, squares, sums.weight)
    require_products("its moments", sums.xwy, squares, sums.ywy)


def _fused(heads: Heads, stacks: dict[str, Discriminant]) -> Heads:
    deep = heads[("deep", "harmonized")]
    return {
        ("fused", variant): stack(heads[("radiomics", variant)], deep, own.intercept, own.weights)
        for variant, own in stacks.items()
    }


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
    pooled: dict[str, Columns],
) -> Heads:
    heads: Heads = {}
    for one, state in zip(found, states, strict=True):
        key = (one.model, one.variant)
        if one.fold == fold and one.choice == choices[key]:
            heads[key] = pooled[one.group].head(one.features, state.coef)
    return heads
