"""The covariate design: the same columns, in the same order, at every site."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, SupportsFloat

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harmonization.arrays import Floats
from harmonization.errors import CovariateError, ShapeError, named

Value = str | float | None
MissingRule = Literal["refuse", "mean"]


@dataclass(frozen=True)
class CovariateSpec:
    """Which covariates ComBat preserves, agreed by all sites before any row is read.

    Attributes
    ----------
    numeric : tuple of str
        Columns that enter as they are. Default: none.
    categorical : mapping of str to tuple of str
        Columns that enter as indicators, with all their levels (at least two). The first level
        is the reference and has no indicator. Default: none.

    Notes
    -----
    Never list the outcome: preserving it writes the label into the features.

    >>> CovariateSpec(("age",), {"sex": ("F", "M")}).names
    ('age', 'sex=M')
    """

    numeric: tuple[str, ...] = ()
    categorical: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "numeric", tuple(self.numeric))
        levels = {name: tuple(values) for name, values in self.categorical.items()}
        object.__setattr__(self, "categorical", levels)
        twice = [name for name in (*self.numeric, *levels) if self.columns.count(name) > 1]
        if twice:
            raise CovariateError(
                f"Covariate {named(sorted(set(twice)))} is listed twice.", "List it once."
            )
        for name, values in levels.items():
            if len(values) < 2 or len(set(values)) != len(values) or "" in values:
                raise CovariateError(
                    f"Categorical covariate '{name}' has the levels {list(values)}.",
                    "Give it at least two levels, all different and none empty.",
                )

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns read from a table: the numeric ones, then the categorical ones."""
        return (*self.numeric, *self.categorical)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the q design columns, ``column`` or ``column=level``."""
        dummies = [f"{name}={level}" for name, lv in self.categorical.items() for level in lv[1:]]
        return (*self.numeric, *dummies)


@dataclass(frozen=True, eq=False)
class DesignRows:
    """The design of one site's rows.

    Attributes
    ----------
    z : (n, q) float64
        Design without intercept, columns as in ``names``.
    missing : dict of str to int
        For every covariate of the spec, how many of its values were missing and were filled.
    names : tuple of str
        Names of the columns of z.
    """

    z: Floats
    missing: dict[str, int]
    names: tuple[str, ...]


def design_matrix(
    spec: CovariateSpec,
    columns: Mapping[str, Sequence[Value]],
    missing: MissingRule = "refuse",
    *,
    means: ArrayLike | None = None,
    rows: int | None = None,
) -> DesignRows:
    """Turn a site's covariate columns into the design that every site shares.

    Parameters
    ----------
    spec : CovariateSpec
        The covariates and their levels.
    columns : mapping of str to n values
        The site's table; columns not in the spec are ignored. None, NaN and blank text are
        missing. Text that reads as a number is accepted in a numeric column.
    missing : {"refuse", "mean"}, default "refuse"
        "mean" fills a missing number with the pooled training mean, and the indicators of a
        missing category with the pooled training proportions.
    means : (q,) array, optional
        The pooled training means, from ``solve_means``. Needed by "mean" where a value is missing.
    rows : int, optional
        Number of rows, for a spec without covariates and a table without columns.

    Returns
    -------
    DesignRows

    Raises
    ------
    CovariateError
        A column is absent, a value cannot be read or is infinite, a level is not declared, or
        values are missing and the rule does not fill them.
    ShapeError
        Columns differ in length, or ``means`` does not fit the design.
    """
    if missing not in ("refuse", "mean"):
        raise CovariateError(
            f"There is no rule '{missing}' for missing values.", "Use 'refuse' or 'mean'."
        )
    z, absent = observed_design(spec, columns, rows=rows)
    counts = {name: int(gap.sum()) for name, gap in absent.items()}
    gaps = [f"{name}: {count}" for name, count in counts.items() if count]
    if gaps and missing == "refuse":
        raise CovariateError(
            f"Of {len(z)} rows, values are missing in covariate {named(gaps)}.",
            "Complete them, leave out those rows, or set the rule for missing values to 'mean'.",
        )
    if gaps:
        z = np.where(np.isnan(z), _means(spec, means), z)
    return DesignRows(z, counts, spec.names)


def observed_design(
    spec: CovariateSpec, columns: Mapping[str, Sequence[Value]], *, rows: int | None = None
) -> tuple[Floats, dict[str, NDArray[np.bool_]]]:
    """Build the (n, q) design with NaN where a value is missing, and the missing rows by column.

    Raises as ``design_matrix`` does, except that missing values are no error here.
    """
    lost = [name for name in spec.columns if name not in columns]
    if lost:
        raise CovariateError(
            f"The table has no column {named(lost)}; it has {named(list(columns))}.",
            "Add the column, or take it out of the study's covariates.",
        )
    used = {name: columns[name] for name in spec.columns} or dict(columns)
    lengths = {name: len(values) for name, values in used.items()}
    sizes = {*lengths.values(), *([] if rows is None else [rows])}
    if len(sizes) != 1:
        raise ShapeError(
            f"The covariate columns have {lengths or 'no'} rows"
            + ("." if rows is None else f" where {rows} are expected."),
            "Pass one value a row in every column, or rows= where there is no column.",
        )
    n = sizes.pop()
    blocks = [_numbers(name, columns[name]) for name in spec.numeric]
    blocks += [_dummies(name, columns[name], lv) for name, lv in spec.categorical.items()]
    gaps = {name: np.isnan(block[:, 0]) for name, block in zip(spec.columns, blocks, strict=True)}
    return np.hstack([np.zeros((n, 0)), *blocks]), gaps


def _is_missing(value: Value) -> bool:
    if value is None or (isinstance(value, str) and not value.strip()):
        return True
    return not isinstance(value, str) and math.isnan(value)


def _numbers(name: str, values: Sequence[Value]) -> Floats:
    numbers = np.full((len(values), 1), np.nan)
    for row, value in enumerate(values):
        if value is None or _is_missing(value):
            continue
        try:
            numbers[row] = float(value)
        except (TypeError, ValueError):
            raise CovariateError(
                f"Row {row} of the numeric covariate '{name}' holds text.",
                "Write a number, or leave the field empty where the value is not known.",
            ) from None
    if np.isinf(numbers).any():
        raise CovariateError(
            f"The numeric covariate '{name}' has {int(np.isinf(numbers).sum())} infinite values.",
            "Correct them, or leave them empty.",
        )
    return numbers


def _dummies(name: str, values: Sequence[Value], levels: Sequence[str]) -> Floats:
    dummies = np.zeros((len(values), len(levels) - 1))
    place = {level: k for k, level in enumerate(levels)}
    for row, value in enumerate(values):
        if _is_missing(value):
            dummies[row] = np.nan
            continue
        level = str(value).strip()
        if isinstance(value, SupportsFloat) and float(value).is_integer():
            level = str(int(float(value)))
        if level not in place:
            raise CovariateError(
                f"Covariate '{name}' has the level '{level}', which is not among {list(levels)}.",
                "Correct the value, or add the level to the study for all sites.",
            )
        if place[level]:
            dummies[row, place[level] - 1] = 1.0
    return dummies


def _means(spec: CovariateSpec, means: ArrayLike | None) -> Floats:
    q = len(spec.names)
    filled = np.full(q, np.nan) if means is None else np.asarray(means, dtype=np.float64)
    if filled.shape != (q,) or not np.isfinite(filled).all():
        raise ShapeError(
            f"Missing covariates are to be filled, but there are no {q} finite training means.",
            "Pass means=, as solve_means returned them for this spec.",
        )
    return filled
