"""What is read out of a run's folder: where it stands, each site's state, what to do."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from run_samples import MadeRun, large_run, study_of

from common.errors import WrongUse
from server.dashboard.reading import RunReader, look_at
from server.dashboard.snapshot import SiteNow, Snapshot
from server.network.locks import locked

SITES = ("site-000", "site-001", "site-002")
LOST = {"site-001": "is not connected"}


@pytest.fixture
def made(tmp_path: Path) -> MadeRun:
    """A run of three training sites and an external one that is in its training."""
    study = study_of(3, quorum={"min_sites": 2}, training={"rounds": 10, "averaged_rounds": 2})
    made = MadeRun.begin(tmp_path / "run", study)
    made.enrol()
    made.began("harmonize")
    made.ask("harmonize", SITES, 2.0, step="features")
    made.ended("harmonize")
    made.began("train")
    return made


def running(made: MadeRun, online: dict[str, bool] | None = None, later: float = 0.0) -> Snapshot:
    """The snapshot while a process works on the run."""
    with locked(made.folder.path / "lock"):
        return RunReader(made.folder.path).look(online, made.now + later)


def site(shown: Snapshot, name: str) -> SiteNow:
    return next(one for one in shown.sites if one.name == name)


def states(shown: Snapshot) -> dict[str, str]:
    return {one.name: one.state for one in shown.sites}


def test_stages_say_what_is_done_what_is_under_way_and_what_comes(made: MadeRun) -> None:
    for number in (1, 2, 3):
        made.round(0, number)
    shown = running(made)
    found = {one.name: (one.state, one.questions, one.of) for one in shown.stages}
    assert found == {
        "enrol": ("done", 1, 1),
        "harmonize": ("done", 1, 1),
        "train": ("now", 3, 10),
        "fuse": ("next", 0, None),
        "calibrate": ("next", 0, 1),
        "validate": ("next", 0, 1),
    }
    assert shown.progress == pytest.approx(0.3)
    assert shown.stages[0].seconds == pytest.approx(8.0)
    assert shown.where == "train, fold 0, round 3"
    assert shown.messages == 5


def test_a_stage_that_is_not_among_the_usual_ones_stands_where_it_began(made: MadeRun) -> None:
    made.ended("train")
    made.began("search")
    made.ask("search", SITES)
    names = [one.name for one in running(made).stages]
    assert names.index("search") == names.index("train") + 1


def test_a_question_under_way_shows_who_has_answered(made: MadeRun) -> None:
    made.round(0, 1)
    made.asking("train", SITES, deadline=600.0, fold=0, round=2)
    made.answered("train.0.2", ["site-002"])
    shown = running(made, later=3.0)
    assert shown.question is not None
    assert shown.question.words == "train, fold 0, round 2"
    assert shown.question.answered == ("site-002",)
    assert shown.question.deadline == pytest.approx(made.now + 600.0, abs=0.01)
    assert states(shown) == {
        "site-000": "working",
        "site-001": "working",
        "site-002": "online",
        "external-0": "online",
    }


def test_a_question_that_was_asked_again_of_others_is_looked_for_in_its_own_folder(
    made: MadeRun,
) -> None:
    made.say(event="asking", stage="train", fold=0, round=2, attempt=2, deadline=60.0,
             sites=["site-000", "site-002"])  # fmt: skip
    made.answered("train.0.2", ["site-000", "site-002"])
    made.answered("train.0.2-again-2", ["site-000"])
    shown = running(made)
    assert shown.question is not None
    assert shown.question.answered == ("site-000",)


@pytest.mark.parametrize(
    ("reason", "state", "advice"),
    [
        ("is not connected", "gone", "myofed site up"),
        ("lost its connection", "gone", "myofed site up"),
        ("did not answer in time", "late", "site.log"),
        ("is still busy with an earlier question", "late", "site.log"),
        ("quarantined: its loss is not a loss", "quarantined", "does not count"),
        ("The site's cohort did not pass its checks. (cohort-invalid)", "refused", "site check"),
        ("has a process that failed before it could answer", "refused", "site.log"),
    ],
)
def test_each_reason_gives_a_state_and_what_to_do(
    made: MadeRun, reason: str, state: str, advice: str
) -> None:
    made.round(0, 1, {"site-001": reason})
    shown = running(made)
    assert states(shown) == {
        "site-000": "online",
        "site-001": state,
        "site-002": "online",
        "external-0": "online",
    }
    assert site(shown, "site-001").missed == 1
    (failure,) = shown.failures
    assert failure.site == "site-001"
    assert advice in failure.fix
    assert not failure.over
    assert advice in site(shown, "site-001").fix


def test_failures_of_one_kind_in_a_row_are_one_and_end_when_the_site_answers(
    made: MadeRun,
) -> None:
    for number in (1, 2, 3):
        made.round(0, number, LOST)
    (open_one,) = running(made).failures
    assert (open_one.times, open_one.over) == (3, False)
    assert open_one.where == "train, fold 0, round 1 to train, fold 0, round 3"
    made.round(0, 4)
    shown = running(made)
    (closed,) = shown.failures
    assert closed.over
    assert site(shown, "site-001").state == "online"
    assert site(shown, "site-001").missed == 3


def test_a_site_that_is_late_and_then_gone_is_one_failure(made: MadeRun) -> None:
    made.round(0, 1, {"site-001": "did not answer in time"})
    made.round(0, 2, {"site-001": "is still busy with an earlier question"})
    made.round(0, 3, LOST)
    (failure,) = running(made).failures
    assert (failure.what, failure.times) == ("Is not connected.", 3)
    made.round(0, 4, {"site-001": "quarantined: its loss is not a loss"})
    now, before = running(made).failures
    assert (now.what, now.over) == ("Its loss is not a loss.", False)
    assert (before.what, before.over) == ("Is not connected.", True)


def test_a_site_that_answers_is_back_before_the_question_is_settled(made: MadeRun) -> None:
    made.round(0, 1, {"site-001": "did not answer in time"})
    made.asking("train", SITES, fold=0, round=2)
    assert site(running(made), "site-001").state == "late"
    made.answered("train.0.2", ["site-001"])
    assert site(running(made), "site-001").state == "online"


def test_a_site_that_is_not_asked_any_more_stays_missing(made: MadeRun) -> None:
    made.round(0, 1, LOST)
    made.round(0, 2, sites=["site-000", "site-002"])
    shown = running(made)
    assert site(shown, "site-001").state == "gone"
    assert [one.over for one in shown.failures] == [False]
    assert shown.quorum is not None
    assert (shown.quorum.least, shown.quorum.answered, shown.quorum.training_sites) == (2, 2, 3)


def test_who_is_connected_counts_more_than_what_was(made: MadeRun) -> None:
    made.round(0, 1)
    away = running(made, {"site-000": True, "site-001": False, "site-002": True})
    assert site(away, "site-001").state == "gone"
    assert "not connected" in site(away, "site-001").note
    made.round(0, 2, LOST)
    back = running(made, {"site-000": True, "site-001": True, "site-002": True})
    assert site(back, "site-001").state == "online"
    assert "back" in site(back, "site-001").note


def test_what_to_do_about_a_late_site_changes_when_it_is_known_to_be_gone(made: MadeRun) -> None:
    made.round(0, 1, {"site-001": "is still busy with an earlier question"})
    (late,) = running(made, {"site-001": True}).failures
    assert "site.log" in late.fix
    (gone,) = running(made, {"site-001": False}).failures
    assert (gone.what, gone.times) == ("It is not connected.", 1)
    assert "myofed site up" in gone.fix


def test_a_site_that_takes_much_longer_than_usual_is_late_before_its_deadline(
    made: MadeRun,
) -> None:
    for number in (1, 2, 3):
        made.round(0, number)
    made.asking("train", SITES, fold=0, round=4)
    made.answered("train.0.4", ["site-000", "site-002"])
    usual = site(running(made), "site-001").usual
    assert usual is not None
    assert site(running(made, later=usual + 9.0), "site-001").state == "working"
    late = site(running(made, later=3 * usual + 11.0), "site-001")
    assert late.state == "late"
    assert "usually it takes" in late.note


def test_what_a_site_refuses_shows_before_the_others_have_answered(made: MadeRun) -> None:
    made.asking("train", SITES, fold=0, round=1)
    reason = "The site has withdrawn its approval of this study. (approval-withdrawn)"
    made.say(event="refused", stage="train", fold=0, round=1, site="site-001", reason=reason)
    shown = running(made)
    assert site(shown, "site-001").state == "refused"
    (failure,) = shown.failures
    assert "Speak to it" in failure.fix


def test_a_site_that_did_not_enrol_is_said_to_be_out(made: MadeRun, tmp_path: Path) -> None:
    other = MadeRun.begin(tmp_path / "other", made.study)
    other.began("enrol")
    other.ask("enrol", [one.name for one in made.study.sites], failures=LOST)
    other.folder.keep_cohort({
        name: {"site": name, "positive": 9, "negative": 8, "slices": 30, "versions": "{}"}
        for name in ("site-000", "site-002", "external-0")
    })  # fmt: skip
    one = site(running(other, {"site-001": True}), "site-001")
    assert one.state == "gone"
    assert one.note == "Not in this run: is not connected."


def test_curves_of_folds_and_sites_and_what_is_hidden(tmp_path: Path) -> None:
    hiding = MadeRun.begin(tmp_path / "hiding", study_of(3, secure_sum={"enabled": True}))
    hiding.enrol()
    hiding.began("train")
    for number in (1, 2):
        hiding.round(0, number)
    masked = running(hiding)
    assert "under masks" in masked.hidden
    assert masked.sites_measured == ()
    assert masked.curves[0].rounds == (0, 1)
    assert len(masked.curves[0].validation_auc) == 2

    other = MadeRun.begin(tmp_path / "open", study_of(3, folds=2))
    other.enrol()
    other.began("train")
    for fold in (1, 0):
        other.round(fold, 1, by_site=True)
    shown = running(other)
    assert shown.hidden == ""
    assert shown.sites_measured == SITES
    assert [one.fold for one in shown.curves] == [0, 1]


def test_looks_at_external_sites_are_counted_from_the_events(made: MadeRun) -> None:
    assert running(made).looks == {"external-0": 0}
    made.say(event="looked", site="external-0")
    assert running(made).looks == {"external-0": 1}


def test_a_failed_run_says_why_and_what_to_do(made: MadeRun) -> None:
    made.round(0, 1)
    made.say(event="began")
    made.say(event="failed", code="run-failed", what="Too few sites.", fix="Wait for them.")
    (made.folder.path / "lock").touch()
    shown = RunReader(made.folder.path).look(now=made.now)
    assert shown.state == "failed"
    assert (shown.failures[0].what, shown.failures[0].fix) == ("Too few sites.", "Wait for them.")
    assert not shown.failures[0].over
    resumed = running(made)
    assert resumed.state == "running"
    assert all(one.over for one in resumed.failures)


def test_a_run_whose_process_is_gone_is_interrupted(made: MadeRun) -> None:
    made.say(event="began")
    made.asking("train", SITES, fold=0, round=1)
    (made.folder.path / "lock").touch()
    shown = RunReader(made.folder.path).look(now=made.now)
    assert shown.state == "interrupted"
    assert shown.question is None
    assert shown.left is None
    assert set(states(shown).values()) == {"unknown"}


def test_a_finished_run_has_nothing_to_come(made: MadeRun) -> None:
    (made.folder.path / "results.json").write_text("{}")
    (made.folder.path / "lock").touch()
    shown = RunReader(made.folder.path).look(now=made.now)
    assert (shown.state, shown.progress) == ("finished", 1.0)
    assert set(states(shown).values()) == {"done"}


def test_a_run_without_its_study_is_shown_as_far_as_it_is_known(made: MadeRun) -> None:
    made.round(0, 1)
    (made.folder.path / "study.json").unlink()
    shown = running(made)
    assert shown.progress is None
    assert shown.quorum is None
    assert set(states(shown)) == {*SITES, "external-0"}


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match="holds no run"):
        look_at(tmp_path)


def test_the_order_of_sites_in_an_event_changes_nothing(tmp_path: Path) -> None:
    study = study_of(6, quorum={"min_sites": 2})
    found = []
    for seed in range(2):
        made = MadeRun.begin(tmp_path / str(seed), study, 1_790_000_000.0)
        made.enrol([one.name for one in study.sites])
        made.began("train")
        names = list(study.training_sites)
        random.Random(seed).shuffle(names)
        own = {
            name: {"received_bytes": 5, "sent_bytes": 7, "seconds": 1.0 + names.index(name) * 0.0}
            for name in names
        }
        made.now += 9.0
        made.say(event="asked", stage="train", fold=0, round=1, seconds=9.0, sites=own,
                 failures={})  # fmt: skip
        content = running(made).as_dict()
        for one in ("identity", "started"):
            del content[one]
        found.append(content)
    assert found[0] == found[1]


def test_reading_bit_by_bit_gives_what_reading_at_once_gives(made: MadeRun) -> None:
    for number in range(1, 8):
        made.round(0, number, LOST if number in (3, 4, 7) else {})
    events = made.folder.path / "events.jsonl"
    content = events.read_bytes()
    at_once = running(made)
    events.write_bytes(b"")
    reader = RunReader(made.folder.path)
    with locked(made.folder.path / "lock"):
        for begin in range(0, len(content), 777):
            with events.open("ab") as file:
                file.write(content[begin : begin + 777])
            last = reader.look(now=made.now)
    assert last == at_once


def test_an_interruption_is_no_round(made: MadeRun) -> None:
    for number in (1, 2, 3):
        made.round(0, number)
    made.now += 86_400.0
    made.began("train")
    for number in (4, 5, 6):
        made.round(0, number)
    left = running(made).left
    assert left is not None
    assert left.questions == 4
    assert left.high == pytest.approx(4 * 8.0)


@pytest.mark.slow
def test_a_hundred_sites_and_a_thousand_rounds_are_read_once(tmp_path: Path) -> None:
    made = large_run(tmp_path / "run")
    reader = RunReader(made.folder.path)
    first = reader.look(now=made.now)
    assert len(first.sites) == 101
    assert len(first.curves[0].rounds) == 999
    read: list[int] = []
    taken = reader.told.take
    reader.told.take = lambda event: (read.append(1), taken(event))[1]  # type: ignore[method-assign]
    reader.look(now=made.now)
    assert not read
    made.round(0, 1000)
    assert reader.look(now=made.now).messages == first.messages + 1
    assert len(read) == 3
