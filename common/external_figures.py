"""How a release did on external patients, kept in its folder: what a page for one patient quotes.

``external.json`` holds, by site and model, the counts and shares of results.json; only sums over a
site's patients, which the results and the model card show as well.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from common.files import write_json
from common.statistics.wilson import Proportion, wilson

FIGURES = "external.json"
_COUNTS = ("tp", "fp", "tn", "fn")


def write_external(release: Path, results: dict[str, Any]) -> None:
    """Keep the counts at the frozen threshold beside the release; nothing without external sites.

    `results` is what results.json holds.
    """
    figures = {
        site: {model: own["confusion"] for model, own in found["models"].items()}
        for site, found in results["external"].items()
    }
    if figures:
        write_json(release / FIGURES, {"fingerprint": results["fingerprint"], "sites": figures})


def read_external(release: Path, fingerprint: str) -> dict[str, dict[str, dict[str, int]]]:
    """Read the counts by site and model; empty where none are known of this very study.

    Releases of earlier versions have no such file; then the results.json of their run counts, if
    it lies beside the release's folder.
    """
    held = _json(release / FIGURES)
    if held.get("fingerprint") == fingerprint:
        return dict(held["sites"])
    results = _json(release.parent / "results.json")
    if results.get("fingerprint") != fingerprint:
        return {}
    return {
        site: {model: own["confusion"] for model, own in found["models"].items()}
        for site, found in results["external"].items()
    }


def shares(
    figures: dict[str, dict[str, dict[str, int]]], model: str
) -> dict[str, Proportion | None]:
    """Give sensitivity and specificity over all external sites' patients, Wilson's intervals."""
    total = {name: sum(site[model][name] for site in figures.values()) for name in _COUNTS}
    return {
        "sensitivity": wilson(total["tp"], total["tp"] + total["fn"]),
        "specificity": wilson(total["tn"], total["tn"] + total["fp"]),
    }


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
