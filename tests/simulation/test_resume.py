"""A coordinator that dies at any moment, and a run that goes on to the same bytes."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from federation_run import (
    NAMES,
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

from common.records import digest_of, unsealed
from server.journal import Exchange
from server.run import RunFolder

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("impatient")]


@dataclass
class Remembering:
    """A site that answers a question from memory where it answered it before, in any run."""

    worker: Asked
    known: dict[str, RecordDict] = field(default_factory=dict)

    def ask(self, stage: str, record: RecordDict) -> RecordDict:
        key = digest_of(unsealed(record)[1])
        if key not in self.known:
            self.known[key] = self.worker.ask(stage, record)
        return self.known[key]


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sites(tmp_path_factory.mktemp("resume"))


@pytest.fixture(scope="module")
def workers(sites: Path) -> dict[str, Remembering]:
    return {name: Remembering(worker) for name, worker in workers_of(sites, tiny_study()).items()}


@pytest.fixture(scope="module")
def whole(
    tmp_path_factory: pytest.TempPathFactory, sites: Path, workers: dict[str, Remembering]
) -> Path:
    """A run that nothing happened to; the sites remember all of its questions."""
    out = tmp_path_factory.mktemp("whole") / "run"
    run_near(sites, out, grid=NearGrid(workers))
    return out


def sizes_of(out: Path) -> list[int]:
    """To how many sites each question was sent."""
    return [len(event["sites"]) for event in events_of(out) if event["event"] == "asked"]


def events_of(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "events.jsonl").read_text().splitlines()]


def goes_on(sites: Path, workers: dict[str, Remembering], whole: Path, out: Path) -> int:
    """Take the run up again and compare it with the whole one; how many messages it took."""
    assert not (out / "results.json").exists()
    grid = NearGrid(workers)
    run_near(sites, out, grid=grid)
    assert release_bytes(out) == release_bytes(whole)
    assert numbers_of(out) == numbers_of(whole)
    assert results_of(out)["looks_at_external"] == {"dorpat": 1}
    return grid.pushed


def test_it_may_die_at_any_message(
    tmp_path: Path, sites: Path, workers: dict[str, Remembering], whole: Path
) -> None:
    """Enrolment is repeated; of all others, only what was not answered is asked again."""
    ends = list(itertools.accumulate(sizes_of(whole)))
    assert ends[-1] > 20
    for dies_at in range(1, ends[-1] + 1):
        out = tmp_path / str(dies_at)
        with pytest.raises(Killed):
            run_near(sites, out, grid=NearGrid(workers, dies_at))
        again = goes_on(sites, workers, whole, out)
        assert not (out / "answers").exists()
        # All sites are asked before one is heard: what was being asked is not answered yet.
        heard = max((end for end in ends if end < dies_at), default=0)
        assert again == ends[-1] - heard + (len(NAMES) if heard else 0), dies_at


@pytest.mark.parametrize("settled", range(3, 14))
def test_it_may_die_between_an_outcome_and_what_is_made_of_it(
    tmp_path: Path,
    sites: Path,
    workers: dict[str, Remembering],
    whole: Path,
    monkeypatch: pytest.MonkeyPatch,
    settled: int,
) -> None:
    real, count = Exchange.settle, [0]

    def settle(exchange: Exchange, *outcome: Any) -> None:
        real(exchange, *outcome)
        count[0] += 1
        if count[0] == settled:
            raise Killed

    monkeypatch.setattr(Exchange, "settle", settle)
    with pytest.raises(Killed):
        run_near(sites, tmp_path / "run", grid=NearGrid(workers))
    monkeypatch.undo()
    goes_on(sites, workers, whole, tmp_path / "run")


@pytest.mark.parametrize("write", range(4))
def test_it_may_die_before_a_checkpoint(
    tmp_path: Path,
    sites: Path,
    workers: dict[str, Remembering],
    whole: Path,
    monkeypatch: pytest.MonkeyPatch,
    write: int,
) -> None:
    real, count = RunFolder.keep, [0]

    def keep(run: RunFolder, *content: Any) -> None:
        count[0] += 1
        if count[0] - 1 == write:
            raise Killed
        real(run, *content)

    monkeypatch.setattr(RunFolder, "keep", keep)
    with pytest.raises(Killed):
        run_near(sites, tmp_path / "run", grid=NearGrid(workers))
    monkeypatch.undo()
    goes_on(sites, workers, whole, tmp_path / "run")


def test_a_look_at_an_external_site_is_counted_though_its_answer_was_lost(
    tmp_path: Path,
    sites: Path,
    workers: dict[str, Remembering],
    whole: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Killed between hearing the answer and keeping it, the run has looked twice."""

    def keep(exchange: Exchange, site: str, answer: object) -> None:
        if site == "dorpat" and exchange.folder.name.startswith("validate"):
            raise Killed
        real(exchange, site, answer)

    real = Exchange.keep
    monkeypatch.setattr(Exchange, "keep", keep)
    with pytest.raises(Killed):
        run_near(sites, tmp_path / "run", grid=NearGrid(workers))
    monkeypatch.undo()
    run_near(sites, tmp_path / "run", grid=NearGrid(workers))
    assert release_bytes(tmp_path / "run") == release_bytes(whole)
    assert results_of(tmp_path / "run")["looks_at_external"] == {"dorpat": 2}


def test_a_run_takes_a_dozen_messages_beside_its_rounds(tmp_path: Path, sites: Path) -> None:
    """One fold, one external site, no covariate to fill."""
    study = tiny_study(folds=1)
    run_near(sites, tmp_path / "run", study=study)
    found = results_of(tmp_path / "run")
    assert found["messages"] <= study.training.rounds + 12
    by_stage = [
        event["stage"] for event in events_of(tmp_path / "run") if event["event"] == "asked"
    ]
    assert len(by_stage) == found["messages"]
    assert by_stage.count("train") == study.training.rounds
    assert by_stage.count("fuse") == found["newton_rounds"] + 2
    for stage in ("enrol", "harmonize", "calibrate", "validate"):
        assert by_stage.count(stage) == 1
