"""The whole report as one HTML page: no script, no address outside, pictures in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from common.errors import WrongUse
from common.files import replacing
from common.heads import MODELS
from common.versions import package_versions
from server.report import calibration, conduct, discrimination, patients, variation
from server.report.checklist import facts
from server.report.claim import CITATION as CLAIM_CITATION
from server.report.claim import claim
from server.report.populations import populations
from server.report.record import FinishedRun
from server.report.tripod import CITATION as TRIPOD_CITATION
from server.report.tripod import tripod
from server.report.words import FILTERS

GENERATOR = '<meta name="generator" content="MyoFed report">'
"""By this line a report is known, so that only a report is ever replaced by one."""


class Numbering:
    """Numbers of tables and figures within their section, in the order of the page."""

    def __init__(self) -> None:
        self._section = 0
        self._tables = 0
        self._figures = 0

    def section(self, number: int) -> int:
        """Begin a section, and give its number."""
        self._section, self._tables, self._figures = number, 0, 0
        return number

    def table(self) -> str:
        """Name the next table."""
        self._tables += 1
        return f"Table {self._section}.{self._tables}"

    def figure(self) -> str:
        """Name the next figure."""
        self._figures += 1
        return f"Figure {self._section}.{self._figures}"


def write_report(run: FinishedRun, out: Path, recalibrate: bool = False) -> None:
    """Write the report of a run as HTML, in place of an earlier one.

    Raises
    ------
    WrongUse
        `out` is there and is not a report.
    MyoFedError
        The evidence is not that of the results.
    """
    if out.is_dir() or (out.exists() and GENERATOR not in _head(out)):
        raise WrongUse(
            f"{out} exists and is not a report; it is left as it is.", "Give another --out."
        )
    page = render(run, recalibrate)
    with replacing(out) as part:
        part.write_text(page, encoding="utf-8")
        part.chmod(0o644)


def render(run: FinishedRun, recalibrate: bool = False) -> str:
    """Make the page."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    # Sections are optional, names are not: a template that reads what is not there is a mistake.
    environment = Environment(
        loader=PackageLoader("server.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(FILTERS)
    template = environment.get_template("report.html.j2")
    return template.render(context(run, recalibrate))


def context(run: FinishedRun, recalibrate: bool) -> dict[str, Any]:
    """Gather what the templates read, section by section."""
    groups = populations(run)
    known = facts(run, groups, recalibrate)
    return {
        "generator": GENERATOR,
        "number": Numbering(),
        "made_with": package_versions(("myofed",))["myofed"],
        "run": run,
        "study": run.study,
        "results": run.results,
        "evidence": run.evidence,
        "models": MODELS,
        "external": [group for group in groups if group.external],
        "validation": groups[0],
        "who": patients.context(run),
        "roc": discrimination.context(run, groups),
        "cal": calibration.context(run, groups, recalibrate),
        "vary": variation.context(run),
        "conduct": conduct.context(run),
        "claim": claim(known),
        "tripod": tripod(known),
        "claim_citation": CLAIM_CITATION,
        "tripod_citation": TRIPOD_CITATION,
    }


def _head(path: Path) -> str:
    with path.open(encoding="utf-8", errors="replace") as file:
        return file.read(4096)
