"""Forest plots, bars of shares, and the other pictures of single numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from server.report.canvas import (
    ACCENT,
    COLOURS,
    INK,
    MARKS,
    MUTED,
    PAPER,
    RULE,
    WARN,
    Picture,
    draw,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROW = 0.21
"""Inches that a row of a forest plot takes."""


@dataclass(frozen=True)
class Row:
    """A row of a forest plot: a heading where `value` is None; `wide` a second, longer interval."""

    label: str
    value: float | None = None
    lower: float | None = None
    upper: float | None = None
    model: str = ""
    summary: bool = False
    wide: Sequence[float] | None = None


def forest(
    name: str,
    alternative: str,
    rows: Sequence[Row],
    label: str,
    reference: float | None = 0.5,
    limits: tuple[float, float] | None = None,
) -> Picture:
    """Draw values with intervals under each other, the first on top."""

    def paint(axes: Axes) -> None:
        height = len(rows)
        if reference is not None:
            axes.axvline(reference, color=RULE, linewidth=1.0)
        for place, row in enumerate(rows):
            y = height - 1 - place
            if row.value is None:
                continue
            colour = COLOURS.get(row.model, ACCENT)
            if row.wide is not None:
                axes.plot(row.wide, [y, y], color=MUTED, linewidth=1.2, linestyle=(0, (1, 1.5)))
            if row.lower is not None and row.upper is not None:
                axes.plot([row.lower, row.upper], [y, y], color=colour, linewidth=1.3)
            mark = "D" if row.summary else MARKS.get(row.model, "o")
            axes.plot(row.value, y, mark, color=colour, markersize=5 if row.summary else 4.2)
        axes.set_yticks(range(height), [row.label for row in reversed(rows)])
        for tick, row in zip(axes.get_yticklabels(), reversed(rows), strict=True):
            if row.value is None or row.summary:
                tick.set_fontweight("bold")
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.set_ylim(-0.7, height - 0.3)
        if limits is not None:
            axes.set_xlim(*limits)
        axes.set_xlabel(label)

    return draw(name, alternative, (7.2, max(1.1, 0.55 + ROW * len(rows))), paint)


def shares(
    name: str, alternative: str, rows: Mapping[str, Sequence[int]], parts: Sequence[str]
) -> Picture:
    """Draw for each row a bar of patients, divided into four parts as `parts` names them."""
    colours = (ACCENT, WARN, RULE, MUTED)

    def paint(axes: Axes) -> None:
        names = list(rows)
        for place, row in enumerate(names):
            y, begin = len(names) - 1 - place, 0.0
            total = float(sum(rows[row])) or 1.0
            for patients, colour in zip(rows[row], colours, strict=True):
                axes.barh(y, patients / total, 0.62, left=begin, color=colour, linewidth=0)
                if patients / total > 0.035:
                    ink = INK if colour == RULE else PAPER
                    axes.text(
                        begin + patients / total / 2, y, str(patients), color=ink, ha="center",
                        va="center", fontsize=8,
                    )  # fmt: skip
                begin += patients / total
        axes.set_yticks(range(len(names)), list(reversed(names)))
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.set_xlim(0, 1)
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "25 %", "50 %", "75 %", "100 %"])
        handles = [axes.bar(0, 0, color=colour, label=part)
                   for part, colour in zip(parts, colours, strict=True)]  # fmt: skip
        axes.legend(
            handles=handles, loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=2,
            handlelength=1.0, columnspacing=1.6, borderaxespad=0.2,
        )  # fmt: skip

    return draw(name, alternative, (7.2, 0.95 + 0.34 * len(rows)), paint)


def distributions(
    name: str, alternative: str, before: Sequence[float], after: Sequence[float], label: str
) -> Picture:
    """Draw the cumulative distribution of a number over features, before and after."""

    def paint(axes: Axes) -> None:
        for values, colour, dash, said in (
            (before, MUTED, (0, (5, 2)), "before"),
            (after, ACCENT, "-", "after"),
        ):
            ordered = np.sort(np.asarray(values, dtype=np.float64))
            share = np.arange(1, ordered.size + 1) / ordered.size
            axes.step(ordered, share, where="post", color=colour, linestyle=dash, label=said)
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1.02)
        axes.set_xlabel(label)
        axes.set_ylabel("Share of features")
        axes.legend(loc="lower right", handlelength=3)

    return draw(name, alternative, (7.2, 2.9), paint)


def folds_of_features(
    name: str, alternative: str, features: Mapping[str, int], folds: int, model: str
) -> Picture:
    """Draw in how many folds each feature was selected, a dot a fold."""

    def paint(axes: Axes) -> None:
        names = list(features)
        for place, feature in enumerate(names):
            y = len(names) - 1 - place
            chosen = np.arange(1, folds + 1) <= features[feature]
            columns = np.arange(1, folds + 1)
            axes.plot(columns[~chosen], np.full((~chosen).sum(), y), "o", markersize=4.5,
                      markerfacecolor="none", markeredgecolor=RULE)  # fmt: skip
            axes.plot(columns[chosen], np.full(chosen.sum(), y), "o", markersize=4.5,
                      color=COLOURS[model])  # fmt: skip
        axes.set_title(model)
        axes.set_yticks(range(len(names)), list(reversed(names)))
        axes.tick_params(axis="both", length=0)
        axes.set_xticks([1, folds] if folds > 1 else [1])
        axes.set_xlim(0.4, folds + 0.6)
        axes.set_ylim(-0.7, len(names) - 0.3)
        for side in ("left", "bottom"):
            axes.spines[side].set_visible(False)
        axes.set_xlabel("Number of folds that selected it")

    height = 0.75 + 0.19 * len(features)
    return draw(name, alternative, (4.2, height), paint)


def paired_bars(
    name: str,
    alternative: str,
    names: Sequence[str],
    values: Mapping[str, Sequence[float]],
    label: str,
) -> Picture:
    """Draw for each name a dot a group: two groups as in the page's legend."""

    def paint(axes: Axes) -> None:
        for (said, own), colour, mark in zip(
            values.items(), (WARN, ACCENT), ("o", "s"), strict=False
        ):
            axes.plot(own, range(len(names) - 1, -1, -1), mark, color=colour, markersize=4.5,
                      label=said)  # fmt: skip
        axes.set_yticks(range(len(names)), list(reversed(names)))
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="y")
        axes.set_axisbelow(True)
        axes.spines["left"].set_visible(False)
        axes.set_xlabel(label)
        axes.set_xlim(left=0)
        axes.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=2, borderaxespad=0.2)

    return draw(name, alternative, (7.2, 0.9 + ROW * len(names)), paint)
