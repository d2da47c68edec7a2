"""The table of leave one site out as a person reads it: model by site, and the summary."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from common.console import console, table_of


def show_table(table: dict[str, Any], folder: Path) -> None:
    """Print the AUC of each model at each left-out site, their mean, and the summary."""
    models = table["models"]
    first = next(iter(models.values()))["by_site"]
    columns = ["left out", "with + without", "model", "AUC (95 % CI)", "sens.", "spec."]
    rows = [
        [site, _counts(first[site]["patients"]), _short(model), *_cells(one["by_site"][site])]
        for site in table["sites"]
        for model, one in models.items()
    ]
    console.print(table_of(f"Study {table['study']}, leave one site out", columns, rows))
    columns = ["model", "mean", "summary (95 % CI)", "prediction", "tau2", "I2"]
    console.print(
        table_of("Over sites", columns, [_over(model, one) for model, one in models.items()])
    )
    console.print(
        "AUC within the site; raw: without harmonisation; summary: random effects on the logit "
        "scale; prediction: 95 % interval for the AUC at another such site",
        soft_wrap=True,
    )
    console.print(f"Table: {folder / 'leave-one-site-out.json'}", markup=False, soft_wrap=True)


def _over(model: str, one: dict[str, Any]) -> list[str]:
    summary = one["summary"]
    return [
        _short(model),
        f"{one['mean_auc']:.3f}",
        _with(summary["auc"], summary["auc_ci"]),
        _range(summary["prediction_interval"]),
        f"{summary['tau2']:.2f}",
        f"{100 * summary['i2']:.0f} %",
    ]


def _cells(own: dict[str, Any]) -> list[str]:
    shares = [own["sensitivity"], own["specificity"]]
    shown = ["-" if share is None else f"{share:.2f}" for share in shares]
    return [_with(own["auc"], own["auc_ci"]), *shown]


def _counts(patients: dict[str, int]) -> str:
    return f"{patients['positive']} + {patients['negative']}"


def _short(model: str) -> str:
    return model.replace(" (not harmonised)", ", raw")


def _with(auc: float, interval: list[float]) -> str:
    return f"{auc:.3f} ({_range(interval)})"


def _range(interval: list[float] | None) -> str:
    return "-" if interval is None else f"{interval[0]:.3f}-{interval[1]:.3f}"
