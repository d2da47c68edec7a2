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
    if "comparison" in results:
        _show_comparison(results["comparison"])
    seconds = ", ".join(f"{stage} {value:.0f} s" for stage, value in results["seconds"].items())
    console.print(f"{results['messages']} messages; {seconds}")
    console.print(f"Results: {out / 'results.json'}   release: {out / 'release'}", soft_wrap=True)


def _show_comparison(comparison: dict[str, Any]) -> None:
    """Print how the compared classifiers do, and what the comparison cost."""
    rows = []
    for one in comparison["classifiers"]:
        cells = [_auc(one["validation"])]
        cells += [_auc(own) for own in one["external"].values()]
        rows.append([one["name"], *cells])
    sites = list(comparison["classifiers"][0]["external"])
    console.print(table_of("Classifiers", ["classifier", "validation", *sites], rows))
    traffic = comparison["traffic"]
    console.print(
        f"AUC (95 % CI) on the features of the fused heads; {traffic['messages']} messages for all "
        f"of them, {traffic['sent_bytes'] / 1e6:.1f} MB from the sites"
    )


def _auc(found: dict[str, Any]) -> str:
    low, high = found["auc_ci"]
    return f"{found['auc']:.3f} ({low:.3f}-{high:.3f})"
