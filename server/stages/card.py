"""Card: how far training sites lie apart before and after ComBat, by feature and all at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from common.heads import VARIANTS, below, under
from common.messages import Arrays, CardAnswer, CardQuestion, EnrolAnswer
from common.statistics.between_batches import BetweenSums, between_shapes, eta_squared
from common.statistics.telling_apart import (
    Accuracy,
    TellingSums,
    separate,
    telling_shapes,
)
from common.study import Study
from server.federation import Federation
from server.firewall import ROUNDING, require, require_arrays, require_count, require_products
from server.roster import Roster
from server.stages.fuse import Fused
from server.total import total

Floats = NDArray[np.float64]
Levels = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Card:
    """How well `of` can be told: among which levels, and by variant; empty where there are not two.

    A level is left out that has fewer held-out patients than the study's minimum.
    """

    of: str
    levels: tuple[str, ...]
    accuracy: dict[str, Accuracy]


@dataclass(frozen=True, eq=False)
class Compared:
    """Share of variance between batches (p,) by variant, the mean over folds; and the cards."""

    between: dict[str, Floats] = field(default_factory=dict)
    cards: list[Card] = field(default_factory=list)


def run(federation: Federation, roster: Roster, study: Study, fused: Fused) -> Compared:
    """Ask the sites that fitted the heads: their features are still there."""
    asked = study.report
    sites = tuple(site for site in fused.sites if site in roster.train)
    features = fused.folds[0].reference.alpha.size
    model: Arrays = {}
    if asked.site_card:
        for place, own in fused.components.items():
            model |= under({"center": own.center, "axes": own.axes}, place)
    question = CardQuestion(study.fingerprint, "sums", model)
    check = _sums_check(study, features)
    pooled = total(federation, question, roster, sites, CardAnswer, check).answer.sums
    between: dict[str, Floats] = {}
    if asked.features:
        between = {
            variant: _mean_share(pooled, number, study.folds)
            for number, variant in enumerate(VARIANTS)
        }
    if not asked.site_card:
        return Compared(between)
    return Compared(between, _cards(federation, roster, study, sites, pooled))


def _mean_share(sums: Arrays, number: int, folds: int) -> Floats:
    names = between_shapes(0)
    shares = []
    for fold in range(folds):
        block = below(sums, f"{fold}.{number}")
        shares.append(eta_squared(BetweenSums.from_arrays({name: block[name] for name in names})))
    found: Floats = np.mean(shares, axis=0)
    return found


def _cards(
    federation: Federation, roster: Roster, study: Study, sites: Sequence[str], pooled: Arrays
) -> list[Card]:
    held = {of: _held(study, pooled, of) for of in study.report.site_card}
    compared = {of: _compared(study, pooled, of, held[of]) for of in held}
    model: Arrays = {}
    for of, levels in compared.items():
        model |= _rules(study, pooled, of, levels)
        share = np.zeros(levels.size)
        if levels.any():
            share[levels] = 1.0 / (levels.sum() * held[of][levels])
        model[f"{of}.share"] = share
    question = CardQuestion(study.fingerprint, "held-out", model)
    found = total(
        federation, question, roster, sites, CardAnswer, _held_out_check(study)
    ).answer.sums
    cards = []
    for of, levels in compared.items():
        names = study.report.levels_of(of, study.training_sites)
        accuracy = {
            variant: Accuracy.of(float(found[f"right.{number}.{of}"]), held[of][levels])
            for number, variant in enumerate(VARIANTS)
            if levels.any()
        }
        kept = tuple(name for name, one in zip(names, levels, strict=True) if one)
        cards.append(Card(of, kept, accuracy))
    return cards


def _held(study: Study, pooled: Arrays, of: str) -> Floats:
    """Count the held-out patients of each level, over all folds."""
    parts = [np.asarray(pooled[f"{fold}.{of}.held"], np.float64) for fold in range(study.folds)]
    found: Floats = np.sum(parts, axis=0)
    return found


def _compared(study: Study, pooled: Arrays, of: str, held: Floats) -> Levels:
    """Say which levels have patients to train and to hold out in every fold; none if not two."""
    levels = held >= study.cohort.minimum_patients_per_class
    for fold in range(study.folds):
        levels &= np.asarray(pooled[f"{fold}.0.{of}.count"], np.int64) > 0
    return levels if levels.sum() > 1 else np.zeros_like(levels)


def _rules(study: Study, pooled: Arrays, of: str, levels: Levels) -> Arrays:
    model: Arrays = {}
    components = study.report.components
    for fold in range(study.folds):
        for number in range(len(VARIANTS)):
            place = f"{fold}.{number}.{of}"
            weights, intercepts = np.zeros((levels.size, components)), np.zeros(levels.size)
            if levels.any():
                rule = separate(TellingSums.from_arrays(below(pooled, place)), levels)
                weights, intercepts = rule.weights, rule.intercepts
            model |= {f"{place}.weights": weights, f"{place}.intercepts": intercepts}
    return model


def _sums_check(study: Study, features: int) -> Callable[[EnrolAnswer, CardAnswer], None]:
    """Say what sums must be like, of a site or of several."""
    asked = study.report
    shapes: dict[str, tuple[int, ...]] = {}
    for fold in range(study.folds):
        for number in range(len(VARIANTS)):
            if asked.features:
                shapes |= _below(f"{fold}.{number}", between_shapes(features))
            for of in asked.site_card:
                groups = len(asked.levels_of(of, study.training_sites))
                own = telling_shapes(groups, asked.components)
                shapes |= _below(f"{fold}.{number}.{of}", own)
        for of in asked.site_card:
            groups = len(asked.levels_of(of, study.training_sites))
            shapes[f"{fold}.{of}.held"] = (groups,)

    def check(own: EnrolAnswer, answer: CardAnswer) -> None:
        require_arrays("its sums", answer.sums, shapes)
        patients = own.positive + own.negative
        for name, array in answer.sums.items():
            last = name.rpartition(".")[2]
            if last == "held" or (last == "count" and array.ndim):
                counts = np.asarray(array, np.int64)
                fits = (counts >= 0).all() and int(counts.sum()) <= patients
                require(fits, "it counts more patients than it enrolled")
            elif last == "count":
                require_count("its number of slices", float(array), 1, own.slices)
        if not asked.features:
            return
        for fold in range(study.folds):
            for number in range(len(VARIANTS)):
                block = below(answer.sums, f"{fold}.{number}")
                between, squares = (
                    np.asarray(block[name], np.float64) for name in ("between", "squares")
                )
                room = (1.0 + ROUNDING) * squares + ROUNDING
                require((between <= room).all(), "its batches vary more than its slices")
                require_products("its sums", block["total"], between, block["count"])

    return check


def _held_out_check(study: Study) -> Callable[[EnrolAnswer, CardAnswer], None]:
    shapes: dict[str, tuple[int, ...]] = {
        f"right.{number}.{of}": ()
        for number in range(len(VARIANTS))
        for of in study.report.site_card
    }

    def check(_: EnrolAnswer, answer: CardAnswer) -> None:
        require_arrays("its shares", answer.sums, shapes)
        shares = [float(array) for array in answer.sums.values()]
        fits = all(-ROUNDING <= share <= 1.0 + ROUNDING for share in shares)
        require(fits, "a share of patients told right is outside 0 to 1")

    return check


def _below(place: str, shapes: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    return {f"{place}.{name}": shape for name, shape in shapes.items()}
