"""The cohort: does it pass its checks against the approved studies.

What is told here are counts by kind, as a coordinator may see them; `myofed site check` lists the
cases.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from common.check import Check, failed, passed
from common.errors import MyoFedError
from common.study import Study

NAME = "cohort"


def cohort_check(
    site: Path,
    studies: Mapping[str, Study],
    tell: Callable[[int, int], None] = lambda *_: None,
) -> Check:
    """Check every case against every approved study; without one, by the rules of all studies."""
    from client.cli import rules_of
    from client.cohort.check import check_site
    from client.cohort.site_folder import SiteFolder

    try:
        folder = SiteFolder.open(site)
    except MyoFedError as error:
        return failed(NAME, error.what, error.fix)
    counts: Mapping[str, int] = {}
    protocols: list[Study | None] = [*studies.values()]
    for study in protocols or [None]:
        if study is not None and (study.outcome.positive, study.outcome.negative) != (
            folder.positive,
            folder.negative,
        ):
            return failed(
                NAME,
                f"The cohort's classes are {folder.positive} and {folder.negative}; the study "
                f"{study.name} calls them {study.outcome.positive} and {study.outcome.negative}.",
                "Import the cohort with --positive and --negative as in the study.",
            )
        report = check_site(folder, rules_of(study), tell)
        counts = report.counts
        if not report.passed:
            shown = report.shareable()["faults"]
            kinds = ", ".join(f"{kind} {number}" for kind, number in shown.items())
            what = f" against the study {study.name}" if study else ""
            return failed(
                NAME,
                f"The cohort has faults{what}: {kinds}.",
                f"myofed site check {site} lists them, with what to do about each.",
            )
    return passed(NAME, f"{counts.get('patients', 0)} patients, no fault.")
