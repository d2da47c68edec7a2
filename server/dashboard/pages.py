"""From a snapshot to HTML: the parts of the page, each by its name, and the pages around them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from common.versions import in_common
from server.dashboard import figures
from server.dashboard.snapshot import Curve, SiteNow, SiteState, Snapshot

if TYPE_CHECKING:
    from jinja2 import Environment

PARTS = ("title", "now", "alerts", "stages", "summary", "numbers", "counts", "versions", "facts",
         "past")  # fmt: skip
"""Parts of the page beside the rows of the sites, which are named ``site-NAME``."""

ROWS_SHOWN = 20
MOST_DRAWN = 400
"""Points of a curve that are drawn: more than a screen can show apart."""


def part(name: str, shown: Snapshot) -> str:
    """Render one of `PARTS`."""
    return str(getattr(_macros(), name)(shown)).strip()


def row(site: SiteNow) -> str:
    """Render the row of a site."""
    return str(_macros().site(site)).strip()


def page(name: str, **content: Any) -> str:
    """Render a whole page."""
    return _environment().get_template(name).render(**content)


def title(shown: Snapshot) -> str:
    """Give the title of a run's page."""
    return f"{shown.study}: {figures.RUN_WORDS[shown.state]} – MyoFed"


def island(content: object) -> str:
    """Write JSON that can stand in a page."""
    return json.dumps(content, separators=(",", ":")).replace("<", "\\u003c")


def drawn(curve: Curve, begin: int = 0, most: int = MOST_DRAWN) -> dict[str, Any]:
    """Give the points of a curve from `begin` on; of very many every k-th, and the last."""
    count = len(curve.rounds) - begin
    step = max(1, -(-count // most))
    at = [*range(begin, len(curve.rounds), step)]
    if at and at[-1] != len(curve.rounds) - 1:
        at.append(len(curve.rounds) - 1)
    return {
        "fold": curve.fold,
        "rounds": [curve.rounds[one] for one in at],
        "training_loss": [curve.training_loss[one] for one in at],
        "validation_loss": [curve.validation_loss[one] for one in at],
        "validation_auc": [curve.validation_auc[one] for one in at],
    }


def counted(sites: Sequence[SiteNow]) -> list[tuple[SiteState, int]]:
    """Count the sites in each state, in the order in which the states are explained."""
    counts = Counter(site.state for site in sites)
    return [(state, counts[state]) for state in figures.STATE_WORDS if counts[state]]


def noticed(shown: Snapshot) -> list[tuple[SiteState, str, list[SiteNow]]]:
    """Give what is the matter with sites that is no failure yet, one entry for each thing to do."""
    told = {one.site for one in shown.failures if not one.over}
    found: dict[tuple[SiteState, str], list[SiteNow]] = {}
    for site in shown.sites:
        if site.note and site.fix and site.name not in told:
            found.setdefault((site.state, site.fix), []).append(site)
    return [(state, fix, sites) for (state, fix), sites in found.items()]


def common_versions(sites: Sequence[SiteNow]) -> Mapping[str, str]:
    """Give what all enrolled sites run; nothing if they differ."""
    found = [in_common(site.versions) for site in sites if site.versions]
    return found[0] if found and all(one == found[0] for one in found) else {}


def last_rounds(curves: Sequence[Curve]) -> list[tuple[Any, ...]]:
    """Give the last rounds of all folds as rows, the latest first."""
    rows = []
    for curve in reversed(curves):
        own = zip(curve.rounds[-ROWS_SHOWN:], curve.training_loss[-ROWS_SHOWN:],
                  curve.validation_loss[-ROWS_SHOWN:], curve.validation_auc[-ROWS_SHOWN:],
                  strict=True)  # fmt: skip
        rows += [(curve.fold, *one) for one in reversed(list(own))]
        if len(rows) >= ROWS_SHOWN:
            break
    return rows[:ROWS_SHOWN]


def curve_words(curves: Sequence[Curve]) -> str:
    """Say what the charts show, for whoever does not see them."""
    sentences = []
    for curve in curves:
        name = f"Fold {curve.fold}" if len(curves) > 1 else "The network"
        known = [auc for auc in curve.validation_auc if auc is not None]
        if not known:
            continue
        sentences.append(
            f"{name}: validation AUC {known[-1]:.3f} after {curve.rounds[-1]} rounds, "
            f"{max(known):.3f} at most; loss {figures.number(curve.validation_loss[-1])}."
        )
    return " ".join(sentences) or "No round was measured yet."


@lru_cache(maxsize=1)
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader

    made = Environment(
        loader=PackageLoader("server.dashboard"), autoescape=True, trim_blocks=True,
        lstrip_blocks=True, auto_reload=False,
    )  # fmt: skip
    words = ("duration", "size", "clock", "done_share", "number", "left_words", "left_basis")
    made.globals |= {name: getattr(figures, name) for name in words}
    made.globals |= {
        "STATE_WORDS": figures.STATE_WORDS,
        "STATE_SIGNS": figures.STATE_SIGNS,
        "RUN_WORDS": figures.RUN_WORDS,
        "iso": lambda when: datetime.fromtimestamp(when, UTC).isoformat(timespec="seconds"),
        "counted": counted,
        "common_versions": common_versions,
        "noticed": noticed,
        "last_rounds": last_rounds,
        "curve_words": curve_words,
    }
    return made


@lru_cache(maxsize=1)
def _macros() -> Any:
    return _environment().get_template("parts.html").module
