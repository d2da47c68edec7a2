"""A row of the table of benchmarks: a ratio, measured several times in one run on one machine."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from common.console import show_wide, table_of


@dataclass(frozen=True)
class Row:
    """What was measured, against what, in which unit, and each measurement.

    `goal` is reached from below where `at_most` is true, else from above. A row that could not be
    measured here has no values, and `detail` says why.
    """

    name: str
    against: str
    unit: str
    goal: float
    values: Sequence[float]
    detail: str = ""
    at_most: bool = False

    @property
    def median(self) -> float | None:
        """The median of the measurements, None without any."""
        return statistics.median(self.values) if self.values else None

    @property
    def reached(self) -> bool | None:
        """Whether the median reaches the goal, None where nothing was measured."""
        if self.median is None:
            return None
        return self.median <= self.goal if self.at_most else self.median >= self.goal

    def content(self) -> dict[str, Any]:
        """Return the row for a file, with what follows from its values."""
        return asdict(self) | {
            "values": [round(float(value), 4) for value in self.values],
            "median": None if self.median is None else round(float(self.median), 4),
            "reached": None if self.reached is None else bool(self.reached),
        }


def show(rows: Sequence[Row]) -> None:
    """Print rows as a table: median, lowest to highest, goal. Below it what the ratios are of."""
    columns = ["row", "against", "median", "lowest to highest", "goal", "reached"]
    show_wide(table_of("", columns, [_cells(row) for row in rows]))
    for row in rows:
        if row.detail:
            print(f"{row.name}:\n    {row.detail}")


def _cells(row: Row) -> list[str]:
    digits = 2 if row.goal > 0.1 else 4
    spread = "–"
    if row.values:
        spread = f"{min(row.values):.{digits}f} to {max(row.values):.{digits}f}"
    median = "–" if row.median is None else f"{row.median:.{digits}f} {row.unit}"
    reached = {True: "yes", False: "no", None: "not measured"}[row.reached]
    goal = f"at {'most' if row.at_most else 'least'} {row.goal:g}"
    return [row.name, row.against, median, spread, goal, reached]
