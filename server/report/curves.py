"""ROC, calibration and decision curves of one group of patients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from common.statistics.calibration import GRID, CalibrationGroup
from common.statistics.calibration_line import CalibrationLine, score_logits
from common.statistics.decision_curve import DecisionCurve
from common.statistics.roc import RocCurve
from server.report.canvas import (
    COLOURS,
    DASHES,
    INK,
    MARKS,
    MUTED,
    RULE,
    Picture,
    draw,
)
from server.report.populations import Population, Scored
from server.report.words import decimal, interval, with_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SQUARE = (2.55, 2.75)
WIDE = (7.2, 3.5)


def roc_picture(population: Population, own: Scored, curve: RocCurve) -> Picture:
    """Draw one model's ROC curve with its band and the frozen threshold."""
    shares = own.shares
    said = f"AUC {with_interval(own.auc, own.auc_ci)}"
    point = ""
    if shares is not None and shares.sensitivity is not None and shares.specificity is not None:
        point = (
            f"; at the frozen threshold {decimal(own.threshold)} sensitivity "
            f"{decimal(shares.sensitivity.value, 2)} and specificity "
            f"{decimal(shares.specificity.value, 2)}"
        )

    def paint(axes: Axes) -> None:
        colour = COLOURS[own.model]
        axes.plot([0, 1], [0, 1], color=RULE, linewidth=1.0)
        axes.fill_between(
            curve.false_positive, curve.lower, curve.upper, color=colour, alpha=0.16, linewidth=0
        )
        axes.plot(curve.false_positive, curve.sensitivity, color=colour)
        if shares is not None and shares.sensitivity is not None and shares.specificity is not None:
            x, y = 1 - shares.specificity.value, shares.sensitivity.value
            axes.errorbar(
                x, y,
                xerr=[[x - 1 + shares.specificity.upper], [1 - shares.specificity.lower - x]],
                yerr=[[y - shares.sensitivity.lower], [shares.sensitivity.upper - y]],
                fmt="o", color=INK, markersize=4, elinewidth=0.9, capsize=0,
            )  # fmt: skip
        axes.text(0.98, 0.12, f"AUC {decimal(own.auc)}", ha="right", va="bottom", fontsize=8)
        axes.text(0.98, 0.03, f"({interval(own.auc_ci)})", ha="right", va="bottom", fontsize=8)
        _unit_square(axes, own.model, "1 − specificity", "Sensitivity")

    alternative = f"ROC curve of the {own.model} model, {population.title}: {said}{point}."
    return draw(f"roc-{population.key}-{own.model}", alternative, SQUARE, paint)


def calibration_picture(
    population: Population,
    own: Scored,
    groups: Sequence[CalibrationGroup],
    line: CalibrationLine,
    predicted: NDArray[np.float64] | None = None,
) -> Picture:
    """Draw observed against predicted, the fitted line, and where the patients are."""
    histogram = own.histogram
    beside = "" if predicted is None else " after recalibration on the training sites"

    def paint(axes: Axes) -> None:
        colour = COLOURS[own.model]
        axes.plot([0, 1], [0, 1], color=RULE, linewidth=1.0)
        if line.slope is not None and line.intercept is not None:
            logits = line.intercept.value + line.slope.value * score_logits()
            axes.plot(GRID, 0.5 * (1 + np.tanh(0.5 * logits)), color=colour, linewidth=1.2)
        middle = [one.predicted for one in groups]
        share = np.array([one.observed.value for one in groups])
        below = share - [one.observed.lower for one in groups]
        above = np.array([one.observed.upper for one in groups]) - share
        axes.errorbar(
            middle, share, yerr=np.maximum(0.0, [below, above]), fmt=MARKS[own.model],
            color=colour, markersize=4, elinewidth=0.9,
        )  # fmt: skip
        if histogram is not None:
            _spikes(axes, histogram, GRID if predicted is None else predicted)
        _unit_square(
            axes,
            own.model,
            f"Predicted chance of {population.outcome}",
            f"Observed share with {population.outcome}",
        )
        axes.set_ylim(-0.19, 1.02)

    slope = "no finite slope" if line.slope is None else f"slope {decimal(line.slope.value, 2)}"
    alternative = (
        f"Calibration of the {own.model} model{beside}, {population.title}: {len(groups)} groups "
        f"of patients, {slope}; small bars at the foot show how many patients with and without "
        f"{population.outcome} have each score."
    )
    kind = "calibration" if predicted is None else "recalibrated"
    return draw(f"{kind}-{population.key}-{own.model}", alternative, SQUARE, paint)


def decision_picture(population: Population, curves: dict[str, DecisionCurve]) -> Picture:
    """Draw the net benefit of each model between examining everybody and nobody."""

    def paint(axes: Axes) -> None:
        any_curve = next(iter(curves.values()))
        axes.axhline(0, color=MUTED, linewidth=1.0)
        axes.plot(any_curve.thresholds, any_curve.everybody, color=INK, linewidth=1.0)
        for model, curve in curves.items():
            axes.plot(
                curve.thresholds, curve.model, color=COLOURS[model], linestyle=DASHES[model],
                label=model,
            )  # fmt: skip
        prevalence = float(any_curve.everybody[0])
        axes.set_ylim(-0.06, max(0.12, 1.12 * max(prevalence, 0.05)))
        axes.set_xlim(0, 0.8)
        axes.annotate("examine nobody", (0.0, 0.0), (4, -4), textcoords="offset points",
                      va="top", fontsize=8, color=MUTED)  # fmt: skip
        there = np.flatnonzero(any_curve.everybody > 0.35 * prevalence)[-1]
        axes.annotate(
            "examine everybody",
            (any_curve.thresholds[there], any_curve.everybody[there]),
            (-4, -2), textcoords="offset points", ha="right", va="top", fontsize=8, color=INK,
        )  # fmt: skip
        axes.set_xlabel(f"Threshold: chance of {population.outcome} from which one would examine")
        axes.set_ylabel("Net benefit per patient")
        axes.legend(loc="upper right", handlelength=3)

    alternative = (
        f"Decision curves, {population.title}: net benefit of the radiomics, deep and fused models "
        "and of examining everybody or nobody, over threshold probabilities from 1 to 80 per cent."
    )
    return draw(f"decision-{population.key}", alternative, WIDE, paint)


def _unit_square(axes: Axes, title: str, x: str, y: str) -> None:
    axes.set_title(title)
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)
    ticks = [0, 0.25, 0.5, 0.75, 1]
    axes.set_xticks(ticks, ["0", ".25", ".5", ".75", "1"])
    axes.set_yticks(ticks, ["0", ".25", ".5", ".75", "1"])
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.set_aspect("equal" if y == "Sensitivity" else "auto")


def _spikes(axes: Axes, histogram: NDArray[np.int64], predicted: NDArray[np.float64]) -> None:
    """Show how many patients of each class have which prediction, in 40 columns at the foot."""
    edges = np.linspace(0, 1, 41)
    columns = np.stack([np.histogram(predicted, edges, weights=row)[0] for row in histogram])
    scale = 0.07 / max(1.0, columns.max())
    middle = (edges[1:] + edges[:-1]) / 2
    axes.axhline(-0.11, color=RULE, linewidth=0.6)
    axes.bar(middle, columns[1] * scale, 0.02, bottom=-0.11, color=INK, linewidth=0)
    axes.bar(middle, -columns[0] * scale, 0.02, bottom=-0.11, color=MUTED, linewidth=0)
