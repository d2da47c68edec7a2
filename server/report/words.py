"""How the report writes numbers: the same number in the same way everywhere, a dash for none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from math import isfinite

NONE = "–"
"""Written where a number is not defined or was withheld."""

NARROW = "\u202f"
MINUS = "\u2212"


def decimal(value: float | None, digits: int = 3) -> str:
    """Write a number with fixed digits and a true minus sign."""
    if value is None or not isfinite(value):
        return NONE
    text = f"{value:.{digits}f}"
    if float(text) == 0.0:
        text = text.lstrip("-")
    return text.replace("-", MINUS)


def signed(value: float | None, digits: int = 3) -> str:
    """Write a difference with its sign."""
    text = decimal(value, digits)
    return f"+{text}" if value is not None and float(f"{value:.{digits}f}") > 0.0 else text


def interval(bounds: Sequence[float] | None, digits: int = 3) -> str:
    """Write the bounds of an interval."""
    if bounds is None:
        return NONE
    low, high = bounds
    return f"{decimal(low, digits)} to {decimal(high, digits)}"


def with_interval(value: float | None, bounds: Sequence[float] | None, digits: int = 3) -> str:
    """Write a number with its interval in brackets."""
    if value is None:
        return NONE
    if bounds is None:
        return decimal(value, digits)
    return f"{decimal(value, digits)} ({interval(bounds, digits)})"


def percent(value: float | None, digits: int = 0) -> str:
    """Write a share in per cent."""
    return NONE if value is None else f"{decimal(100.0 * value, digits)}{NARROW}%"


def percent_interval(value: float | None, bounds: Sequence[float] | None, digits: int = 0) -> str:
    """Write a share in per cent with its interval in brackets."""
    if value is None:
        return NONE
    if bounds is None:
        return percent(value, digits)
    low, high = (decimal(100.0 * bound, digits) for bound in bounds)
    return f"{percent(value, digits)} ({low} to {high})"


def p_value(p: float | None) -> str:
    """Write a p value: three digits, two from 0.1, never zero."""
    if p is None:
        return NONE
    if p < 0.001:
        return "<0.001"
    return decimal(p, 2 if p >= 0.1 else 3)


def count(value: float | None) -> str:
    """Write a whole number with thin spaces between thousands."""
    return NONE if value is None else f"{round(value):,}".replace(",", NARROW)


def size(value: float | None) -> str:
    """Write a number of bytes in the unit that fits."""
    if value is None:
        return NONE
    for unit, step in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if value >= step:
            return f"{value / step:.{1 if value < 100 * step else 0}f}{NARROW}{unit}"
    return f"{round(value)}{NARROW}B"


def duration(seconds: float | None) -> str:
    """Write seconds as a person would say them."""
    if seconds is None:
        return NONE
    if seconds < 100:
        return f"{seconds:.{1 if seconds < 10 else 0}f}{NARROW}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 100:
        return f"{minutes}{NARROW}min {rest:02d}{NARROW}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}{NARROW}h {minutes:02d}{NARROW}min"


def moment(text: str | None) -> str:
    """Write a time stamp to the minute, in UTC as it was recorded."""
    if not text:
        return NONE
    return f"{datetime.fromisoformat(text):%d %B %Y, %H:%M} UTC".lstrip("0")


def listed(names: Sequence[str]) -> str:
    """Join names as prose does."""
    *first, last = [str(name) for name in names] or [NONE]
    return f"{', '.join(first)} and {last}" if first else last


def plural(number: int, name: str) -> str:
    """Write how many there are of a thing: 1 fold, 3 folds."""
    return f"{count(number)} {name}{'' if number == 1 else 's'}"


def spoken(value: object) -> str:
    """Write a value of a form that is not known beforehand: names with values, lists, numbers."""
    if isinstance(value, Mapping):
        return ", ".join(
            f"{str(key).replace('_', ' ')} {spoken(one)}" for key, one in value.items()
        )
    if isinstance(value, list | tuple):
        return "; ".join(spoken(one) for one in value) or NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}".replace("-", MINUS)
    return NONE if value is None else str(value)


FILTERS = {
    "spoken": spoken,
    "decimal": decimal,
    "signed": signed,
    "interval": interval,
    "with_interval": with_interval,
    "percent": percent,
    "percent_interval": percent_interval,
    "p_value": p_value,
    "count": count,
    "size": size,
    "duration": duration,
    "moment": moment,
    "listed": listed,
}
