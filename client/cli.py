"""`myofed site`: import a cohort, check it, measure it, and take part in a study."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from client.approval_cli import approvals, approve, revoke
from client.cohort.rules import CohortRules
from client.cohort.site_folder import SiteFolder
from client.egress.cli import app as ledger
from client.import_cli import app as importers
from client.private.cli import budget
from client.site_cli import doctor, init, join, up
from common.console import FAILED, console, progress_bar, show_json
from common.errors import CohortError, Fault
from common.study import Study
from common.study_file import read_study

app = typer.Typer(
    help="What a hospital does: its own cohort, and its part in a study.\n\nIn this order: import, "
    "check, init, join, doctor, up.",
    no_args_is_help=True,
)
app.add_typer(importers, name="import")
app.add_typer(ledger, name="ledger")
for command in (init, join, approve, approvals, revoke, budget, doctor, up):
    app.command()(command)

StudyFile = Annotated[Path | None, typer.Option("--study", help="The study's protocol file.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for a script.")]


@app.command()
def check(
    folder: Annotated[Path, typer.Argument(help="A site folder.")],
    study: StudyFile = None,
    share: Annotated[
        Path | None,
        typer.Option("--share", help="Write counts without identifiers here, to be sent on."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the counts that may be shared, as JSON.")
    ] = False,
) -> None:
    """Check every case of a site: files, geometry, masks, labels, covariates. Lists all faults.

    What is printed here names patients and stays at the site; --share and --json give counts only.
    """
    from client.cohort.check import check_site

    site = SiteFolder.open(folder)
    with progress_bar(f"checking {site.name}") as progress:
        report = check_site(site, rules_of(read_study(study) if study else None), progress)
    if share is not None:
        from json import dumps

        share.write_text(dumps(report.shareable(), indent=2) + "\n", encoding="utf-8")
    if as_json:
        show_json(report.shareable())
    else:
        console.print(report.listing(), markup=False, soft_wrap=True)
    if not report.passed:
        raise typer.Exit(FAILED)


@app.command()
def extract(
    folder: Annotated[Path, typer.Argument(help="A site folder.")],
    study: Annotated[Path, typer.Option("--study", help="The study's protocol file.")],
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="Processes; by default all cores.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure the radiomics of every case, on all cores. Ctrl-C is safe: it resumes."""
    site, protocol = SiteFolder.open(folder), read_study(study)
    counts = extract_site(site, protocol, workers)
    if as_json:
        show_json(counts)
    else:
        console.print(
            f"{site.name}: {counts['slices']} slices of {counts['cases']} cases measured, "
            f"{counts['cached']} cases from the cache."
        )


def rules_of(study: Study | None) -> CohortRules:
    """Say what a study asks of a cohort; without one, the rules that hold everywhere."""
    if study is None:
        return CohortRules(phases=())
    covariates = study.harmonization.covariates
    required = [item.name for item in covariates if study.harmonization.missing == "refuse"]
    if study.harmonization.batch == "scanner":
        required.append("scanner")
    return CohortRules(
        phases=study.cohort.phases,
        minimum_patients_per_class=study.cohort.minimum_patients_per_class,
        levels={item.name: item.levels for item in covariates if item.kind == "categorical"},
        required=tuple(required),
        numeric=tuple(item.name for item in covariates if item.kind == "numeric"),
    )


def extract_site(site: SiteFolder, study: Study, workers: int | None = None) -> dict[str, int]:
    """Measure a site's cases with a progress bar; give counts.

    Raises
    ------
    CohortError
        Cases cannot be used; all are listed.
    """
    from client.cohort.rows import Source, cases_of
    from client.cohort.second_masks import second_cases
    from client.imaging.extract import extract_cases
    from client.imaging.recipes import preprocessing_of, radiomics_of

    source = Source(site.name, site.cache, site.myocardium)
    patients = site.patients()
    cases = cases_of(source, patients, study)
    phases = study.cohort.phases
    own = [case for one in patients for case in one.cases if case.phase in phases]
    if site.name not in study.external_sites:
        cases += [one for one in second_cases(cases, own, study) if one is not None]
    with progress_bar(f"radiomics of {site.name}") as progress:
        results = extract_cases(
            cases,
            preprocessing_of(study.preprocessing),
            radiomics_of(study.radiomics),
            site.cache,
            workers=workers,
            progress=progress,
        )
    faults = [result.fault for result in results if result.fault is not None]
    if faults:
        _refuse(site.name, faults)
    return {
        "cases": len(results),
        "slices": sum(len(result.slices) for result in results),
        "cached": sum(result.cached for result in results),
    }


def check_for_study(site: SiteFolder, study: Study, tell: Callable[[int, int], None]) -> None:
    """Check a site against a study before a run.

    Raises
    ------
    CohortError
        There are faults, which are all listed, or the site's classes are not the study's.
    """
    from client.cohort.check import check_site

    wanted = (study.outcome.positive, study.outcome.negative)
    if (site.positive, site.negative) != wanted:
        raise CohortError(
            f"Site {site.name} calls its classes {site.positive!r} and {site.negative!r}; the "
            f"study calls them {wanted[0]!r} and {wanted[1]!r}.",
            "Set [outcome] in the study, or import the site with --positive and --negative.",
        )
    report = check_site(site, rules_of(study), tell)
    if not report.passed:
        _refuse(site.name, list(report.faults))


def _refuse(site: str, faults: list[Fault]) -> None:
    raise CohortError(
        f"Site {site} has {len(faults)} fault(s):\n" + "\n".join(f"  {one}" for one in faults),
        "Correct them at the site; 'myofed site check' lists them again.",
    )
