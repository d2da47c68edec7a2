"""Leave one site out: nothing that is fitted saw the site, and the table is that of the runs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from federation_run import (
    NearGrid,
    make_sites,
    numbers_of,
    quiet,
    release_bytes,
    results_of,
    run_near,
    tiny_study,
    workers_of,
)
from typer.testing import CliRunner

import simulation.leave_one_out as loso
from client.cohort.importers import import_table
from client.cohort.rows import load_rows
from client.cohort.site_folder import SiteFolder
from client.phantoms.consortium import DEFAULT, make_consortium
from common.errors import Interrupted, RunError
from common.heads import MODELS
from common.leave_one_out import left_out
from common.study import Study
from myofed import app
from server.run import RunFolder
from simulation.leave_one_out import run_leaving_out

pytestmark = pytest.mark.slow

TRAIN = ("aldgate", "bergamo", "coimbra")
ROLES = dict.fromkeys(TRAIN, "train") | {"dorpat": "external"}
STUDY = tiny_study(roles=ROLES)


class NotedGrid(NearGrid):
    """A grid that notes which site was asked for which stage."""

    def __init__(self, sites: Path, study: Study) -> None:
        super().__init__(workers_of(sites, study))
        self.asked: list[tuple[str, str]] = []

    def push_messages(self, messages: Any) -> Any:
        letters = list(messages)
        self.asked += [
            (self.names[one.metadata.dst_node_id],
             one.metadata.message_type.removeprefix("query."))
            for one in letters
        ]  # fmt: skip
        return super().push_messages(letters)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("leave-one-out")


@pytest.fixture(scope="module")
def sites(folder: Path) -> Path:
    return make_sites(folder, roles=ROLES)


@pytest.fixture(scope="module")
def replaced(folder: Path, sites: Path) -> Path:
    """The same sites, but coimbra has other patients, other images and more of one class."""
    copy = folder / "replaced"
    shutil.copytree(sites, copy)
    shutil.rmtree(copy / "coimbra")
    coimbra = [site for site in DEFAULT if site.name == "coimbra"]
    (table,) = make_consortium(folder / "other-phantoms", 99, 13, coimbra, slices=3)
    out = copy / "coimbra"
    # The labels are turned round as well.
    import_table(table, out, name="coimbra", positive="none", negative="scar", myocardium=2)
    content = (out / "site.json").read_text()
    held = json.loads(content)
    held["positive"], held["negative"] = "scar", "none"
    (out / "site.json").write_text(json.dumps(held))
    cohort = SiteFolder.open(out).table_path
    text = cohort.read_text()
    cohort.write_text(text.replace(",scar", ",@").replace(",none", ",scar").replace(",@", ",none"))
    load_rows(SiteFolder.open(out), left_out(STUDY)["coimbra"], external=True, workers=1)
    return copy


@pytest.fixture(scope="module")
def without(folder: Path, sites: Path) -> Callable[[str], tuple[Path, NotedGrid]]:
    """A run that leaves a site out, near; made once."""
    made: dict[str, tuple[Path, NotedGrid]] = {}

    def run(site: str) -> tuple[Path, NotedGrid]:
        if site not in made:
            derived = left_out(STUDY)[site]
            grid = NotedGrid(sites, derived)
            run_near(sites, folder / f"near-{site}", study=derived, grid=grid)
            made[site] = (folder / f"near-{site}", grid)
        return made[site]

    return run


def test_nothing_that_was_fitted_saw_the_site_that_is_left_out(
    folder: Path, replaced: Path, without: Callable[[str], tuple[Path, NotedGrid]]
) -> None:
    """Its images and labels are others; weights, references, heads and thresholds are not."""
    first, _ = without("coimbra")
    second = folder / "near-replaced"
    derived = left_out(STUDY)["coimbra"]
    run_near(replaced, second, study=derived, grid=NotedGrid(replaced, derived))
    assert release_bytes(first) == release_bytes(second)
    one, other = results_of(first), results_of(second)
    for name in ("thresholds", "selected_in_folds", "choices", "stack_weights", "validation"):
        assert one[name] == other[name], name
    # It was another site indeed, and was scored.
    assert one["sites"]["coimbra"] != other["sites"]["coimbra"]
    assert one["external"]["coimbra"] != other["external"]["coimbra"]
    assert one["external"]["dorpat"]["models"] == other["external"]["dorpat"]["models"]


def test_where_it_trains_the_same_replacement_does_change_the_release(
    folder: Path, replaced: Path, without: Callable[[str], tuple[Path, NotedGrid]]
) -> None:
    first, _ = without("bergamo")
    second = folder / "near-changed"
    derived = left_out(STUDY)["bergamo"]
    run_near(replaced, second, study=derived, grid=NotedGrid(replaced, derived))
    before, after = release_bytes(first), release_bytes(second)
    assert {name for name in before if before[name] != after[name]} == set(before)


@pytest.mark.parametrize("site", ["coimbra", "bergamo"])
def test_the_site_is_asked_to_enrol_and_to_validate_and_nothing_else(
    without: Callable[[str], tuple[Path, NotedGrid]], site: str
) -> None:
    path, grid = without(site)
    for name in (site, "dorpat"):
        assert {stage for one, stage in grid.asked if one == name} == {"enrol", "validate"}
    for name in set(TRAIN) - {site}:
        assert {stage for one, stage in grid.asked if one == name} == {
            "enrol", "harmonize", "train", "fuse", "calibrate",
        }  # fmt: skip
    assert set(results_of(path)["external"]) == {site, "dorpat"}


def test_it_is_the_ordinary_study_with_that_site_external(
    folder: Path, sites: Path, without: Callable[[str], tuple[Path, NotedGrid]]
) -> None:
    path, _ = without("coimbra")
    ordinary = tiny_study(roles=ROLES | {"coimbra": "external"})
    run_near(sites, folder / "ordinary", study=ordinary, grid=NotedGrid(sites, ordinary))
    assert release_bytes(path) == release_bytes(folder / "ordinary")
    assert numbers_of(path) == numbers_of(folder / "ordinary")


@pytest.fixture
def near_runs(sites: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Runs are made near instead of in the engine; gives which sites were left out, in turn."""
    made: list[str] = []

    def run(run: RunFolder, _: object) -> None:
        made.append(run.path.name)
        grid = NotedGrid(sites, run.study)
        run_near(sites, run.path, study=run.study, grid=grid, watch=quiet)

    monkeypatch.setattr(loso, "federate_over", run)
    monkeypatch.setattr(loso, "measure", lambda *_: made.append("measured"))
    return made


@pytest.fixture(scope="module")
def told() -> dict[str, Any]:
    return {}


def test_the_table_is_that_of_its_runs_and_a_second_command_repeats_none(
    folder: Path, sites: Path, near_runs: list[str], told: dict[str, Any]
) -> None:
    out = folder / "table"
    found = run_leaving_out(STUDY, sites, out)
    assert near_runs == ["measured", *(f"without-{site}" for site in TRAIN)]
    assert found == json.loads((out / "leave-one-site-out.json").read_text())
    assert found["sites"] == list(TRAIN)
    assert list(found["models"])[:3] == list(MODELS)
    for model in MODELS:
        one = found["models"][model]
        for site in TRAIN:
            run = results_of(out / f"without-{site}")
            own = run["external"][site]
            assert one["by_site"][site]["auc"] == own["models"][model]["auc"]
            assert one["by_site"][site]["patients"] == own["patients"]
            low, high = one["by_site"][site]["auc_ci"]
            assert low <= one["by_site"][site]["auc"] <= high
            assert low < high
            assert run["sites"][site]["role"] == "external"
        aucs = [one["by_site"][site]["auc"] for site in TRAIN]
        assert one["mean_auc"] == pytest.approx(sum(aucs) / 3)
        summary = one["summary"]
        assert 0.0 < summary["auc_ci"][0] < summary["auc"] < summary["auc_ci"][1] < 1.0
        assert summary["prediction_interval"][0] < summary["auc_ci"][0]
    raw = found["models"]["fused (not harmonised)"]["by_site"]["coimbra"]["auc"]
    own = results_of(out / "without-coimbra")["external"]["coimbra"]
    assert raw == own["unharmonized"]["fused"]["auc"]
    near_runs.clear()
    assert run_leaving_out(STUDY, sites, out) == found
    assert near_runs == []
    told |= found


def test_a_run_that_was_stopped_goes_on_with_the_same_command(
    folder: Path, sites: Path, near_runs: list[str], monkeypatch: pytest.MonkeyPatch,
    told: dict[str, Any],
) -> None:  # fmt: skip
    out = folder / "stopped"
    whole = loso.federate_over

    def stopped(run: RunFolder, found: Any) -> None:
        if run.path.name == "without-bergamo":
            raise Interrupted
        whole(run, found)

    monkeypatch.setattr(loso, "federate_over", stopped)
    with pytest.raises(Interrupted):
        run_leaving_out(STUDY, sites, out)
    assert not (out / "leave-one-site-out.json").exists()
    identity = json.loads((out / "without-bergamo" / "run.json").read_text())["identity"]
    near_runs.clear()
    monkeypatch.setattr(loso, "federate_over", whole)
    found = run_leaving_out(STUDY, sites, out)
    assert near_runs == ["measured", "without-bergamo", "without-coimbra"]
    assert found["runs"]["bergamo"]["run"] == identity
    assert found["models"] == told["models"]


def test_the_folder_of_another_study_is_left_alone(
    folder: Path, sites: Path, near_runs: list[str]
) -> None:
    other = tiny_study(folds=1, roles=ROLES)
    with pytest.raises(RunError, match="leaves the sites of another study out"):
        run_leaving_out(other, sites, folder / "table")
    (folder / "something").mkdir()
    (folder / "something" / "else.txt").write_text("")
    with pytest.raises(RunError, match="exists and does not leave one site out"):
        run_leaving_out(STUDY, sites, folder / "something")
    assert near_runs == []


def test_the_command_shows_the_table(folder: Path, sites: Path, near_runs: list[str]) -> None:
    study = folder / "study.toml"
    roster = "".join(f'[[sites]]\nname = "{n}"\nrole = "{r}"\n' for n, r in ROLES.items())
    study.write_text(
        f'name = "tiny"\nseed = 5\nfolds = 2\n{roster}[cohort]\nminimum_patients_per_class = 2\n'
        '[cnn]\nwidth = 0.05\n[training]\nstrategy = "fedavgm"\nrounds = 2\naveraged_rounds = 1\n'
        "[fusion]\nsizes = [2, 4]\ninverse_penalties = [0.3, 1.0]\n"
        'patient_score = "mean"\n[secure_sum]\nenabled = false\n'
    )
    command = ["simulate", str(study), "--sites", str(sites), "--out", str(folder / "table")]
    shown = CliRunner(env={"COLUMNS": "240"}).invoke(app, [*command, "--leave-one-site-out"])
    assert shown.exit_code == 0, shown.output
    assert near_runs == []
    for word in ("leave one site out", "coimbra", "fused, raw", "prediction", "4 + 4"):
        assert word in shown.output, word
    as_json = CliRunner().invoke(app, [*command, "--leave-one-site-out", "--json"])
    table = json.loads((folder / "table" / "leave-one-site-out.json").read_text())
    assert json.loads(as_json.stdout) == table


@pytest.mark.soak
def test_in_the_engine_it_is_the_same_release(
    folder: Path, sites: Path, without: Callable[[str], tuple[Path, NotedGrid]]
) -> None:
    out = folder / "engine"
    # Two of the three are there already: the engine makes the third.
    (out).mkdir()
    (out / "study.json").write_text(json.dumps(STUDY.model_dump(mode="json")))
    for site in ("aldgate", "bergamo"):
        shutil.copytree(without(site)[0], out / f"without-{site}")
    run_leaving_out(STUDY, sites, out)
    near, _ = without("coimbra")
    assert release_bytes(out / "without-coimbra") == release_bytes(near)
