"""How long is left: by the pace of this run, by an earlier one, and what neither tells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from run_samples import MadeRun, study_of

from common.study import Study
from server.dashboard.estimate import Earlier, left_of, pace_of
from server.dashboard.figures import left_basis, left_words
from server.dashboard.reading import RunReader
from server.dashboard.snapshot import Left
from server.network.locks import locked

SITES = ("site-000", "site-001", "site-002")
LATER = {"fuse": 40.0, "calibrate": 20.0, "validate": 30.0}
ROUNDS = {"rounds": 10, "averaged_rounds": 2}


def run_of(path: Path, **content: Any) -> MadeRun:
    """A run that has begun its training."""
    usual = study_of(3, training=ROUNDS).model_dump(mode="json")
    made = MadeRun.begin(path, Study.model_validate(usual | content))
    made.enrol()
    made.began("train")
    return made


def finish(made: MadeRun) -> None:
    """Go through all that is left of a run; training takes what was asked for before."""
    made.ended("train")
    for stage, seconds in LATER.items():
        made.began(stage)
        made.ask(stage, SITES, seconds)
        made.ended(stage)
    (made.folder.path / "results.json").write_text("{}")


def left(made: MadeRun, later: float = 0.0) -> Left | None:
    with locked(made.folder.path / "lock"):
        return RunReader(made.folder.path).look({}, made.now + later).left


def test_the_questions_left_take_what_the_last_ones_took() -> None:
    ends = [0.0, 30.0, 40.0, 50.0, 60.0]
    found = pace_of(ends, 5, 60.0)
    assert found is not None
    # The first round, which also loads, does not count.
    assert (found.low, found.high, found.measured) == (50.0, 50.0, 3)
    under_way = pace_of(ends, 5, 66.0)
    assert under_way is not None
    assert under_way.low == pytest.approx(44.0)
    overdue = pace_of(ends, 5, 1000.0)
    assert overdue is not None
    # However long the round under way takes, those behind it take what rounds take.
    assert overdue.low == pytest.approx(40.0)
    assert pace_of([0.0, 30.0], 5, 31.0) is None
    assert pace_of(ends, 0, 61.0) is None


def test_without_an_earlier_run_only_the_training_is_told(tmp_path: Path) -> None:
    made = run_of(tmp_path / "run")
    assert left(made) is None
    for number in (1, 2, 3):
        made.round(0, number)
    found = left(made)
    assert found is not None
    assert found.covers == ("train",)
    assert found.low == found.high == pytest.approx(7 * 8.0)
    assert found.uncounted == tuple(LATER)
    assert left_words(found) == "about 55 s of training left"
    assert left_basis(found) == (
        "7 rounds at the pace of the last 2. Not counted: fuse, calibrate and validate, of which "
        "nothing was measured yet."
    )


def test_an_earlier_run_of_the_protocol_tells_the_rest(tmp_path: Path) -> None:
    before = run_of(tmp_path / "before")
    for number in range(1, 11):
        before.round(0, number, seconds=12.0)
    finish(before)
    # Another name, seed and external site are the same work.
    roles = dict.fromkeys(("external-0", "site-000", "site-001"), "train")
    roster = [{"name": name, "role": roles.get(name, "external")} for name in (*roles, "site-002")]
    made = run_of(tmp_path / "run", name="again", seed=7, sites=roster)
    first = left(made, 5.0)
    assert first is not None
    assert first.low == first.high == pytest.approx(120.0 - 5.0 + 90.0)
    assert left_words(first) == "about 3 min 30 s left"
    assert left_basis(first) == "Training, fuse, calibrate and validate as in the run before."
    for number in (1, 2, 3):
        made.round(0, number)
    paced = left(made)
    assert paced is not None
    # Its own pace tells more of the training than the earlier run does.
    assert paced.low == pytest.approx(7 * 8.0 + 90.0)
    assert left_basis(paced) == (
        "7 rounds at the pace of the last 2. Fuse, calibrate and validate as in the run before."
    )
    made.ended("train")
    made.began("fuse")
    made.now += 25.0
    fusing = left(made)
    assert fusing is not None
    assert fusing.low == pytest.approx(15.0 + 50.0)
    # A stage that takes longer than it did has no end that was measured.
    assert left(made, 20.0) is None


@pytest.mark.parametrize(
    "other",
    [{"training": {"rounds": 11, "averaged_rounds": 2}}, {"folds": 3}, {"cnn": {"width": 0.5}}],
)
def test_a_run_of_another_protocol_tells_nothing(tmp_path: Path, other: dict[str, Any]) -> None:
    finish(run_of(tmp_path / "before", **other))
    assert left(run_of(tmp_path / "run")) is None


def test_a_run_that_did_not_finish_tells_nothing(tmp_path: Path) -> None:
    before = run_of(tmp_path / "before")
    finish(before)
    (before.folder.path / "results.json").unlink()
    assert left(run_of(tmp_path / "run")) is None


def test_what_the_sites_have_kept_makes_a_stage_short() -> None:
    earlier = Earlier("before", {"harmonize": 7200.0, "train": 60.0})
    assert left_of(["harmonize", "train"], None, 1.0, earlier) is None


def test_the_search_has_a_pace(tmp_path: Path) -> None:
    made = MadeRun.begin(
        tmp_path / "run",
        study_of(3, training=ROUNDS, search={"budget": 60}),
    )
    made.enrol()
    made.began("search")
    for number in (1, 2, 3):
        place = {"step": "train", "rung": 0, "trial": number, "round": 1}
        made.ask("search", SITES, 4.0, LOST, **place)
        # Put again to those that are left, it is the same question.
        made.ask("search", SITES[:2], 1.0, **place)
    found = left(made)
    assert found is not None
    rungs = made.study.search.rungs
    assert found.questions == sum(rung.cost + rung.places for rung in rungs) - 3
    assert found.paced == "search"
    assert "search at the pace of the last 2" in left_basis(found)


LOST = {"site-002": "is not connected"}
