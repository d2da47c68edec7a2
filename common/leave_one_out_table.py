"""The table of leave one site out as a person reads it: model by site, and the summary."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from common.console import console, table_of


def show_table(table: dict[str, Any], folder: Path) -> None:
    """Print the AUC of each model at each left-out site, their mean, and the summary."""
    rows = []
    for model, one in table["models"].items():
        summary = one["summary"]
        cells = [_with(own["auc"], own["auc_ci"]) for own in one["by_site"].values()]
        cells += [f"{one['mean_auc']:.3f}", _with(summary["auc"], summary["auc_ci"])]
        cells += [_range(summary["prediction_interval"]), f"{summary['tau2']:.2f}"]
        rows.append([model, *cells, f"{100 * summary['i2']:.0f} %"])
    first = next(iter(table["models"].values()))["by_site"]
    columns = [f"without {site}" for site in first]
    columns = ["model", *columns, "mean", "summary", "prediction", "tau2", "I2"]
    console.print(table_of(f"Study {table['study']}, leave one site out", columns, rows))
    numbers = ", ".join(
        f"{site} {one['patients']['positive']}+{one['patients']['negative']}"
        for site, one in first.items()
    )
    console.print(f"patients with + without: {numbers}", markup=False, soft_wrap=True)
    console.print(
        "within-site AUC (95 % CI); summary: random effects on the logit scale; prediction: for "
        "the AUC at another such site",
        soft_wrap=True,
    )
    console.print(f"Table: {folder / 'leave-one-site-out.json'}", markup=False, soft_wrap=True)


def _with(auc: float, interval: list[float]) -> str:
    return f"{auc:.3f} ({_range(interval)})"


def _range(interval: list[float] | None) -> str:
    return "-" if interval is None else f"{interval[0]:.3f}-{interval[1]:.3f}"
