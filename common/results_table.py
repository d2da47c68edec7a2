"""The results of a run as a person reads them first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from common.console import console, table_of
from common.heads import MODELS


def show_results(results: dict[str, Any], out: Path) -> None:
    """Print the external results as a table, and where everything lies."""
    rows = []
    for site, one in results["external"].items():
        for model in MODELS:
            own, raw = one["models"][model], one["unharmonized"][model]
            low, high = own["auc_ci"]
            cells = [f"{own['auc']:.3f} ({low:.3f}-{high:.3f})", f"{raw['auc']:.3f}"]
            shares = [own[name] for name in ("sensitivity", "specificity", "ppv", "npv")]
            cells += ["-" if share is None else f"{share:.2f}" for share in shares]
            rows.append([site, model, *cells])
    columns = ["external", "model", "AUC (95 % CI)", "raw", "sens.", "spec.", "PPV", "NPV"]
    console.print(table_of(f"Study {results['study']}", columns, rows))
    console.print("raw: the AUC without harmonisation; intervals of an AUC are DeLong's")
    for site, one in results["external"].items():
        for test in one["comparisons"][:2]:
            p = "undefined" if test["p"] is None else f"{test['p']:.3f}"
            console.print(
                f"{site}: {test['a']} minus {test['b']}: {test['difference']:+.3f}, p {p}",
                markup=False,
            )
    seconds = ", ".join(f"{stage} {value:.0f} s" for stage, value in results["seconds"].items())
    console.print(f"{results['messages']} messages; {seconds}")
    console.print(f"Results: {out / 'results.json'}   release: {out / 'release'}", soft_wrap=True)
