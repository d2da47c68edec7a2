"""`myofed study`: write a protocol file, and look at one."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from common.console import console, show_json, table_of
from common.errors import WrongUse
from common.study import Study
from common.study_file import read_study
from common.study_reduction import Reduction

app = typer.Typer(
    help="Write and check the protocol that all sites of a study approve.", no_args_is_help=True
)


@app.command()
def new(
    path: Annotated[Path, typer.Argument(help="File to write, for example study.toml.")],
) -> None:
    """Write a commented protocol file with every default, to be edited."""
    if path.exists():
        raise WrongUse(f"{path} exists already.", "Give another name, or move it away first.")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(template(), encoding="utf-8")
    console.print(f"Wrote {path}. Put your sites into its roster, then: myofed study show {path}")


@app.command()
def show(
    path: Annotated[Path, typer.Argument(help="A study.toml.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for a script.")] = False,
) -> None:
    """Validate a protocol file and show it with its fingerprint.

    Sites compare the fingerprint: it is the same wherever the content is, whatever the formatting.
    """
    study = read_study(path)
    if as_json:
        content = study.model_dump(mode="json")
        show_json({"fingerprint": study.fingerprint, "study": content})
        return
    rows = [[site.name, site.role] for site in study.sites]
    console.print(table_of(f"Study {study.name}", ["site", "role"], rows))
    for line in describe(study):
        console.print(line, markup=False)
    console.print(f"fingerprint {study.fingerprint}")


def template() -> str:
    """Give the commented protocol file with every default."""
    return files("common").joinpath("study_template.toml").read_text(encoding="utf-8")


def describe(study: Study) -> list[str]:
    """Say in a few plain lines what a study does."""
    harmonization, training = study.harmonization, study.training
    covariates = ", ".join(item.name for item in harmonization.covariates) or "none"
    seen = f"sums           only totals over {study.least_sites} or more sites can be read"
    if not study.secure_sum.enabled:
        seen = "sums           the coordinator sees those of each site: secure summation is off"
    elif study.leave_one_site_out:
        seen = (
            "sums           only totals can be read; as each site is left out once, the "
            "coordinator can work out those of each"
        )
    return [
        f"outcome        {study.outcome.positive} against {study.outcome.negative}",
        f"images         phases {', '.join(study.cohort.phases)}, {study.cohort.slices} slices, "
        f"{study.preprocessing.spacing_mm:g} mm, bin width {study.radiomics.bin_width:g}",
        f"ComBat         {harmonization.mode}, a batch is a {harmonization.batch}, "
        f"covariates: {covariates}",
        f"CNN            width {study.cnn.width:g}, {training.strategy}, {training.rounds} rounds "
        f"of {training.local_epochs} epoch(s), learning rate {training.learning_rate:g}",
        f"heads          sizes {', '.join(map(str, study.fusion.sizes))}; a patient's score is the "
        f"{study.fusion.patient_score} of the slices",
        f"folds          {study.folds}; sensitivity at least "
        f"{study.operating_point.sensitivity:g}; seed {study.seed}",
        seen,
        *_left_out(study),
        *_reduction(study),
        *_search(study),
        *_privacy(study),
    ]


def _left_out(study: Study) -> list[str]:
    if not study.leave_one_site_out:
        return []
    return ["left out       each training site in turn, in a run of its own"]


def _reduction(study: Study) -> list[str]:
    asked = study.reduction
    if asked == Reduction():
        return []
    least = f"; ICC at least {asked.minimum_icc:g} over two masks ({asked.second_mask})"
    return [f"reduction      {asked.method}{least if asked.measures_icc else ''}"]


def _search(study: Study) -> list[str]:
    if not study.search.on:
        return []
    rounds = sum(rung.cost for rung in study.search.rungs)
    return [
        f"search         {study.search.trials} trials in {rounds} rounds, of a budget of "
        f"{study.search.budget}; then the network is trained by the settings of the best"
    ]


def _privacy(study: Study) -> list[str]:
    privacy = study.privacy
    if not privacy.on:
        return []
    return [
        f"privacy        epsilon {privacy.epsilon:g} at delta {privacy.delta:g} for each training "
        f"patient; covers {privacy.covers}"
    ]
