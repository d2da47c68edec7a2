"""A study that searches for its network's settings, from the first question to the prediction."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from federation_run import (
    Asked,
    Killed,
    NearGrid,
    make_sites,
    numbers_of,
    release_bytes,
    results_of,
    run_near,
    tiny_study,
    workers_of,
)
from flwr.app import RecordDict

from client.predict import predict
from common.cnn import build
from common.errors import RunError
from common.records import digest_of, unsealed
from common.release import Release
from common.study import Study
from common.trials import settings_of

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("impatient")]

SEARCH = {
    "budget": 8,
    "most_rounds": 2,
    "eta": 2,
    "widths": [0.03, 0.06],
    "learning_rates": [1e-4, 2e-3],
    "dropouts": [0.2],
}


def searching() -> Study:
    return Study.model_validate(tiny_study().model_dump() | {"search": SEARCH})


class Remembering:
    """A site that answers a question from memory where it answered it before, in any run."""

    def __init__(self, worker: Asked) -> None:
        self.worker = worker
        self.known: dict[str, RecordDict] = {}

    def ask(self, stage: str, record: RecordDict) -> RecordDict:
        key = digest_of(unsealed(record)[1])
        if key not in self.known:
            self.known[key] = self.worker.ask(stage, record)
        return self.known[key]


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sites(tmp_path_factory.mktemp("search"))


@pytest.fixture(scope="module")
def workers(sites: Path) -> Mapping[str, Remembering]:
    return {name: Remembering(one) for name, one in workers_of(sites, searching()).items()}


@pytest.fixture(scope="module")
def whole(
    tmp_path_factory: pytest.TempPathFactory, sites: Path, workers: Mapping[str, Remembering]
) -> Path:
    out = tmp_path_factory.mktemp("whole") / "run"
    run_near(sites, out, study=searching(), grid=NearGrid(workers))
    return out


def asked_in(out: Path) -> list[dict[str, Any]]:
    lines = (json.loads(line) for line in (out / "events.jsonl").read_text().splitlines())
    return [event for event in lines if event["event"] == "asked"]


def test_the_search_is_told_and_its_budget_kept(whole: Path) -> None:
    study = searching()
    found = results_of(whole)["search"]
    assert found["budget"] == 8
    assert found["spent"] == 7
    asked = [event for event in asked_in(whole) if event["stage"] == "search"]
    assert sum(event["step"] == "train" for event in asked) == 7
    assert all("dorpat" not in event["sites"] for event in asked)
    assert [row["trial"] for row in found["trials"]] == [1, 2, 3, 4]
    assert sorted(row["rounds"] for row in found["trials"]) == [1, 2, 2, 2]
    for row in found["trials"]:
        assert {name: row[name] for name in ("width", "learning_rate", "dropout")} == settings_of(
            study, row["trial"]
        ).numbers()
        assert row["loss"] > 0
    events = [json.loads(line) for line in (whole / "events.jsonl").read_text().splitlines()]
    tried = [event for event in events if event["event"] == "tried"]
    assert len(tried) == 5
    best = min(tried, key=lambda one: (one["loss"], one["trial"]))
    assert found["chosen"]["trial"] == best["trial"]
    # Of the first two trials the better one went on.
    first = sorted(tried[:2], key=lambda one: one["loss"])
    assert tried[2]["trial"] == first[0]["trial"]
    assert results_of(whole)["seconds"]["search"] > 0


def test_the_release_is_built_by_the_chosen_settings(whole: Path) -> None:
    chosen = results_of(whole)["search"]["chosen"]
    release = Release.load(whole / "release")
    summary = json.loads((whole / "release" / "release.json").read_text())
    wanted = {name: chosen[name] for name in ("width", "learning_rate", "dropout")}
    assert summary["network"] == [wanted] * 2
    for fold in release.folds:
        assert fold.trial == chosen["trial"]
        build(fold.weights, chosen["width"], chosen["dropout"])
        other = next(width for width in SEARCH["widths"] if width != chosen["width"])  # type: ignore[attr-defined]
        with pytest.raises(ValueError, match="weights"):
            build(fold.weights, other, chosen["dropout"])


def test_a_release_with_other_networks_than_it_names_is_refused(
    whole: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "release"
    folder.mkdir()
    for path in (whole / "release").iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    summary = json.loads((folder / "release.json").read_text())
    summary["network"][0]["width"] = 1.0
    (folder / "release.json").write_text(json.dumps(summary))
    with pytest.raises(RunError, match="not those that its"):
        Release.load(folder)


def test_patients_are_predicted_as_the_external_site_was(
    whole: Path, sites: Path, tmp_path: Path
) -> None:
    release = Release.load(whole / "release")
    table = sites / "dorpat" / "cohort.csv"
    found = predict(release, table, 2, sites / "dorpat" / "cache", workers=1)
    with table.open(newline="") as file:
        labels = {row["patient_id"]: row["label"] for row in csv.DictReader(file)}
    reached = sum(
        one.positive["fused"] and labels[one.patient_id] == "scar" for one in found.patients
    )
    external = results_of(whole)["external"]["dorpat"]["models"]["fused"]
    assert reached == external["confusion"]["tp"]


@pytest.mark.parametrize("share", [0.12, 0.2, 0.3, 0.37, 0.44, 0.5, 0.6])
def test_a_killed_search_goes_on_to_the_same_bytes(
    tmp_path: Path, sites: Path, workers: Mapping[str, Remembering], whole: Path, share: float
) -> None:
    messages = sum(len(event["sites"]) for event in asked_in(whole))
    dies_at = round(share * messages)
    out = tmp_path / "run"
    with pytest.raises(Killed):
        run_near(sites, out, study=searching(), grid=NearGrid(workers, dies_at))
    grid = NearGrid(workers)
    run_near(sites, out, study=searching(), grid=grid)
    assert release_bytes(out) == release_bytes(whole)
    assert numbers_of(out) == numbers_of(whole)
    assert grid.pushed < messages
    assert not (out / "checkpoint").exists()


def test_a_search_dies_between_any_two_checkpoints(
    tmp_path: Path,
    sites: Path,
    workers: Mapping[str, Remembering],
    whole: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from server.stages import search

    real = search.write_json
    for dies_at in range(1, 6):
        count = [0]

        def write(path: Path, content: Any, count: list[int] = count, last: int = dies_at) -> None:
            count[0] += 1
            if count[0] == last:
                raise Killed
            real(path, content)

        monkeypatch.setattr(search, "write_json", write)
        out = tmp_path / str(dies_at)
        with pytest.raises(Killed):
            run_near(sites, out, study=searching(), grid=NearGrid(workers))
        monkeypatch.undo()
        run_near(sites, out, study=searching(), grid=NearGrid(workers))
        assert release_bytes(out) == release_bytes(whole)
        assert numbers_of(out) == numbers_of(whole)


def test_without_a_search_there_is_none_in_the_results(tmp_path: Path, sites: Path) -> None:
    run_near(sites, tmp_path / "run", study=tiny_study(folds=1))
    found = results_of(tmp_path / "run")
    assert found["search"] is None
    assert found["reduction"]["method"] == "lasso"
    assert found["reduction"]["icc"] is None
    left = found["reduction"]["left_out"]
    assert found["reduction"]["kept"] + sum(left.values()) == 939
    assert "network" not in json.loads((tmp_path / "run" / "release" / "release.json").read_text())
    assert np.isfinite(found["validation"]["fused"]["auc"])
