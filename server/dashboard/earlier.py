"""The latest finished run of the same protocol, from which the length of stages can be told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from common.study import Study
from server.dashboard.estimate import Earlier
from server.tail import Tail

OF_NO_MATTER = {"name", "seed"}
"""What two studies may differ in and still take as long as each other, beside a site's role."""


def earlier_like(path: Path, study: Study) -> Earlier:
    """Find the run beside that in `path` which was finished last with the same protocol.

    The name, the seed and who of the sites is external may differ: leaving each site out in turn
    is the same work each time. Gives an empty `Earlier` if there is none.
    """
    wanted = _protocol(study)
    finished = []
    for results in path.resolve().parent.glob("*/results.json"):
        folder = results.parent
        if folder != path.resolve() and _protocol_in(folder) == wanted:
            finished.append((results.stat().st_mtime, folder))
    if not finished:
        return Earlier()
    _, folder = max(finished)
    return Earlier(folder.name, _seconds(folder))


def _seconds(folder: Path) -> dict[str, float]:
    """Sum the seconds of each stage; a run that was interrupted has a stage in several pieces."""
    found: dict[str, float] = {}
    for event in Tail(folder / "events.jsonl").new():
        if event.get("event") == "stage":
            name = str(event["stage"])
            found[name] = found.get(name, 0.0) + float(event["seconds"])
    return found


def _protocol_in(folder: Path) -> dict[str, Any] | None:
    try:
        return _protocol(Study.model_validate_json((folder / "study.json").read_bytes()))
    except (OSError, ValidationError):
        return None


def _protocol(study: Study) -> dict[str, Any]:
    content = study.model_dump(mode="json", exclude=OF_NO_MATTER)
    content["sites"] = sorted(site.name for site in study.sites)
    return content
