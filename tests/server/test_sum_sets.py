"""Over which sites sums are taken: as few changes as can be, and the same account after a crash."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from coordinator_samples import make_study

from common.errors import RunError
from common.secure_sum.scope import scope_of
from common.study import Study
from server.sum_sets import Sites, SumSets

ALL = ("a", "b", "c", "d", "e")


def study_of(changes: int = 3, least: int = 3, **content: Any) -> Study:
    quorum = {"min_sites": least} | content.pop("quorum", {})
    return make_study(
        ALL, quorum=quorum, secure_sum={"enabled": True, "set_changes": changes}, **content
    )


def sets_of(folder: Path, study: Study | None = None) -> SumSets:
    """The account of a run, read from its file each time."""
    return SumSets(folder / "sets.json", study or study_of())


def names(text: Iterable[str]) -> Sites:
    return tuple(text)


def first(sets: SumSets, exchange: str, ready: str = "abcde", back: str = "") -> str:
    return "".join(sets.first(exchange, ALL, list(ready), list(back)))


def after(sets: SumSets, exchange: str, answered: str, **missing: str) -> str:
    lost = missing or dict.fromkeys(set(ALL) - set(answered), "did not answer in time")
    return "".join(sets.next(exchange, names(answered), lost))


@pytest.mark.parametrize(
    ("exchange", "scope"),
    [
        ("train.0.7", "train.0"),
        ("train.0.12", "train.0"),
        ("train.1.7", "train.1"),
        ("fuse.heads.3", "fuse.heads"),
        ("fuse.moments.0", "fuse.moments"),
        ("fuse.stack.0", "fuse.stack"),
        ("harmonize.covariates", "harmonize.covariates"),
        ("calibrate", "calibrate"),
    ],
)
def test_a_scope_is_the_rounds_of_one_stage_step_and_fold(exchange: str, scope: str) -> None:
    assert scope_of(exchange) == scope


def test_all_that_are_ready_are_asked_in_the_order_of_the_roster(tmp_path: Path) -> None:
    sets = sets_of(tmp_path)
    assert first(sets, "train.0.1", ready="edcba") == "abcde"
    assert first(sets, "train.1.1", ready="ecba") == "abce"
    # Where another fold begins nobody can compare, and nothing is counted.
    assert first(sets, "calibrate", ready="bde") == "bde"
    assert (sets.changes, sets.left) == (0, 3)


def test_a_question_stays_with_the_sites_that_it_was_put_to(tmp_path: Path) -> None:
    sets = sets_of(tmp_path)
    assert first(sets, "train.0.1") == "abcde"
    assert first(sets, "train.0.1", ready="abc") == "abcde"
    assert first(sets_of(tmp_path), "train.0.1", ready="abc") == "abcde"
    assert sets.changes == 0


def test_too_few_are_not_asked_but_all_that_could_be(tmp_path: Path) -> None:
    """The question then waits for those that are away."""
    sets = sets_of(tmp_path)
    assert first(sets, "train.0.1", ready="ab") == "abcde"
    assert first(sets, "train.1.1", ready="abcd") == "abcd"
    assert first(sets, "train.1.2", ready="ab") == "abcd"
    assert sets.changes == 0


def test_a_site_that_is_lost_is_left_out_from_then_on(tmp_path: Path) -> None:
    sets = sets_of(tmp_path)
    first(sets, "train.0.1")
    assert after(sets, "train.0.1", "abce") == "abce"
    assert sets.changes == 1
    # In this fold; though it is ready, it was not away and did not come back.
    assert first(sets, "train.0.2", ready="abcde") == "abce"
    assert sets.changes == 1
    assert first(sets, "train.1.1", ready="abcde") == "abcde"
    assert sets.changes == 1


def test_one_that_is_known_to_be_away_is_left_out_before_it_is_asked(tmp_path: Path) -> None:
    sets = sets_of(tmp_path)
    first(sets, "train.0.1")
    assert first(sets, "train.0.2", ready="abde") == "abde"
    assert sets.changes == 1
    assert first(sets, "train.0.3", ready="abde") == "abde"
    assert sets.changes == 1


def test_a_site_that_comes_back_is_taken_in_again(tmp_path: Path) -> None:
    sets = sets_of(tmp_path)
    first(sets, "train.0.1", ready="abde")
    assert first(sets, "train.0.2", ready="abcde", back="c") == "abcde"
    assert sets.changes == 1
    # One for another, at the same time, is one change.
    assert first(sets, "train.0.3", ready="abce") == "abce"
    assert first(sets, "train.0.4", ready="bcde", back="d") == "bcde"
    assert sets.changes == 3


def test_the_last_change_is_kept_for_a_site_that_is_lost(tmp_path: Path) -> None:
    study = study_of(changes=1)
    sets = sets_of(tmp_path, study)
    first(sets, "train.0.1", ready="abde")
    assert first(sets, "train.0.2", ready="abcde", back="c") == "abde"
    assert sets.left == 1
    assert first(sets, "train.0.3", ready="abd") == "abd"
    assert sets.left == 0
    # Without any left, who is away is asked all the same and waited for.
    assert first(sets, "train.0.4", ready="bd") == "abd"
    assert first(sets, "train.0.5", ready="bde", back="e") == "abd"
    assert sets.changes == 1


@pytest.mark.parametrize("changes", [0, 2])
def test_a_budget_that_is_used_up_ends_the_run_and_names_who_is_missing(
    tmp_path: Path, changes: int
) -> None:
    sets = sets_of(tmp_path, study_of(changes))
    for fold in range(changes):
        first(sets, f"train.{fold}.1")
        after(sets, f"train.{fold}.1", "abcd")
    first(sets, "fuse.heads.1")
    with pytest.raises(RunError) as caught:
        after(sets, "fuse.heads.1", "abe", d="lost its connection", c="No. (internal)")
    assert "Without c, d the sum of fuse.heads.1" in caught.value.what
    assert "c: No. (internal); d: lost its connection" in caught.value.what
    assert f"set_changes is {changes}" in caught.value.what
    assert "resume" in caught.value.fix
    # What was refused left no trace: once the site answers, the run goes on.
    again = sets_of(tmp_path, study_of(changes))
    assert again.changes == changes
    assert first(again, "fuse.heads.1", ready="abe") == "abcde"
    with pytest.raises(RunError):
        after(again, "fuse.heads.1", "abe")


def test_two_losses_over_one_question_are_two_changes(tmp_path: Path) -> None:
    sets = sets_of(tmp_path)
    first(sets, "calibrate")
    assert after(sets, "calibrate", "abce") == "abce"
    assert after(sets, "calibrate", "ace") == "ace"
    assert sets.changes == 2


def test_a_run_that_goes_on_puts_its_questions_to_the_same_sets(tmp_path: Path) -> None:
    sets = sets_of(tmp_path)
    first(sets, "train.0.1")
    after(sets, "train.0.1", "abce")
    after(sets, "train.0.1", "ace")
    again = sets_of(tmp_path)
    assert again.changes == 2
    # Sites refuse a question over more of them than they were asked it last.
    assert first(again, "train.0.1", ready="abcd", back="b") == "ace"
    assert [again.asked(f"train.0.{number}") for number in (1, 2)] == [3, 0]
    assert again.changes == 2
    assert first(again, "train.0.2", ready="abcde") == "ace"
    assert (tmp_path / "sets.json").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["sets.json"]


def test_mandatory_sites_are_never_left_out(tmp_path: Path) -> None:
    study = study_of(quorum={"mandatory": ["b", "x"]})
    sets = sets_of(tmp_path, study)
    assert first(sets, "train.0.1", ready="acd") == "abcd"
    assert first(sets, "train.0.2", ready="acd") == "abcd"
    referred = sets_of(tmp_path / "other", study_of(harmonization={"reference": "e"}))
    assert first(referred, "harmonize.features", ready="abc") == "abce"
    assert sets.changes == referred.changes == 0


def test_where_all_must_answer_all_are_asked(tmp_path: Path) -> None:
    sets = sets_of(tmp_path, study_of(least=0))
    for number, ready in enumerate(("abcde", "abcd", "a")):
        assert first(sets, f"train.0.{number}", ready=ready) == "abcde"
    assert sets.changes == 0
