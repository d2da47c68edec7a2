"""The Flower ServerApp: runs the stages in order, and writes what comes out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event

import numpy as np
from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from common.external_figures import write_external
from common.feature_names import deep_names
from common.files import write_json
from common.heads import MODELS
from common.release import Release
from server import attention
from server.comparison_results import comparison_results
from server.described_results import described_results
from server.directory import Directory
from server.evidence import write_evidence
from server.federation import Federation, Watch
from server.model_card import model_card
from server.private import calibrate as private_calibrate
from server.private import fuse as private_fuse
from server.private import harmonize as private_harmonize
from server.private.calibrate import NoisilyCalibrated
from server.results import Result, results
from server.roster import Roster
from server.run import RunFolder
from server.stages import (
    calibrate,
    card,
    compare,
    describe,
    enrol,
    fuse,
    harmonize,
    search,
    train,
    validate,
)
from server.stages.calibrate import Calibrated
from server.stages.fuse import Fused
from server.stages.search import Searched
from server.subgroups import ask_subgroups


def coordinator_app(
    run: RunFolder,
    feature_names: list[str],
    directory: Callable[[Grid], Directory],
    watch: Watch,
    stop: Event,
    failed: Callable[[BaseException], None],
) -> ServerApp:
    """Make the ServerApp of one run.

    Parameters
    ----------
    feature_names
        Names of the radiomic features, in the order in which sites compute them.
    directory
        Makes what says which sites are there, from the run's Grid.
    watch
        Told of each stage and step as it is done.
    stop
        Set it to end the run at the next pause; what is done is kept.
    failed
        Told of the exception that ended the run, if one did.
    """
    app = ServerApp()

    @app.main()
    def _(grid: Grid, context: Context) -> None:
        try:
            federation = Federation(grid, run, directory(grid), watch, stop)
            conduct(federation, run, feature_names, watch)
        except BaseException as error:
            failed(error)

    return app


def conduct(federation: Federation, run: RunFolder, feature_names: list[str], watch: Watch) -> None:
    """Take a study through its stages. A run that was interrupted goes on where it stopped."""
    study = run.study
    feature_names = study.radiomics_used(feature_names)
    solve = private_harmonize.run if study.privacy.everything else harmonize.run
    select = private_fuse.run if study.privacy.everything else fuse.run
    freeze = private_calibrate.run if study.privacy.everything else calibrate.run
    with _stage(run, watch, "enrol"):
        roster = enrol.run(federation, run)
    described = None
    if study.report.patients:
        with _stage(run, watch, "describe"):
            described = describe.run(federation, roster, study)
    with _stage(run, watch, "harmonize"):
        harmonized = solve(federation, roster, study, len(feature_names))
    searched = Searched()
    if study.search.on:
        with _stage(run, watch, "search"):
            searched = search.run(federation, run, roster, harmonized)
    with _stage(run, watch, "train"):
        weights = train.run(federation, run, roster, harmonized, searched.chosen)
    with _stage(run, watch, "fuse"):
        fused = select(federation, roster, study, harmonized, weights, searched.chosen)
    with _stage(run, watch, "calibrate"):
        calibrated = freeze(federation, roster, fused.sites, study, fused.folds)
    compared = None
    if study.comparison.on:
        with _stage(run, watch, "compare"):
            compared = compare.run(
                federation, roster, fused.sites, study, fused.folds, harmonized.class_weights
            )
    release = _release(run, roster, feature_names, fused, calibrated)
    release.save(run.path / "release")
    carded = None
    if study.report.compares:
        with _stage(run, watch, "card"):
            carded = card.run(federation, roster, study, fused)
    with _stage(run, watch, "validate"):
        validated = validate.run(federation, roster, study, fused.folds, calibrated.thresholds)
        subgroups = ask_subgroups(federation, roster, study, tuple(validated.answers))
        attended = attention.run(federation, roster, study, validated)
        looked = compare.look(federation, roster, study, compared) if compared else {}
    names, constant = [*feature_names, *deep_names()], _constant(fused, feature_names)
    found = results(run, roster, names, harmonized, fused, calibrated, validated, constant)
    found |= described_results(study, feature_names, described, carded, subgroups)
    found |= {} if attended is None else {"attention": attended}
    if compared is not None:
        found["comparison"] = comparison_results(study, compared, looked, run.events())
    found["search"] = searched.results(study)
    write_evidence(run.path, calibrated, validated.answers)
    _write(run, found)
    run.finish()


def _constant(fused: Fused, feature_names: list[str]) -> list[str]:
    """Name the radiomic features that do not vary within the batches of some fold."""
    keep = np.all([fold.reference.keep for fold in fused.folds], axis=0)
    return [name for name, kept in zip(feature_names, keep, strict=True) if not kept]


def _write(run: RunFolder, found: Result) -> None:
    write_external(run.path / "release", found)
    (run.path / "release" / "MODEL_CARD.md").write_text(model_card(run.study, found), "utf-8")
    write_json(run.path / "results.json", found)


def _release(
    run: RunFolder,
    roster: Roster,
    feature_names: list[str],
    fused: Fused,
    calibrated: Calibrated | NoisilyCalibrated,
) -> Release:
    thresholds = dict(zip(MODELS, calibrated.thresholds, strict=False))
    return Release(
        run.study,
        fused.folds,
        thresholds,
        tuple(feature_names),
        roster.versions,
        fused.distributions,
    )


@contextmanager
def _stage(run: RunFolder, watch: Watch, stage: str) -> Iterator[None]:
    run.event(event="stage-began", stage=stage)
    watch(stage, "")
    started = time.monotonic()
    yield
    run.event(event="stage", stage=stage, seconds=round(time.monotonic() - started, 3))
