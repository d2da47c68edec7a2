"""When the coordinator looks for answers: seldom before one can be there, often after."""

from __future__ import annotations

import pytest

from server.patience import LONG_SECONDS, SHORT_SECONDS, Patience


def looks(patience: Patience, kind: str, seconds: float) -> list[float]:
    """The times of all looks at a question whose first answer comes after so many seconds."""
    times = [0.0]
    while times[-1] < seconds:
        times.append(times[-1] + patience.pause(kind, times[-1]))
    return times


def test_a_kind_that_is_new_is_looked_at_often() -> None:
    patience = Patience()
    patience.learn("train ", 60.0)
    assert patience.pause("fuse heads", 0.0) == SHORT_SECONDS


@pytest.mark.parametrize("seconds", [0.05, 0.4, 10.0, 600.0])
def test_an_answer_is_found_as_soon_as_before_with_a_third_of_the_looks(seconds: float) -> None:
    patience = Patience()
    before = looks(patience, "train ", seconds)
    patience.learn("train ", seconds)
    after = looks(patience, "train ", seconds)
    assert after[-1] - seconds <= SHORT_SECONDS
    assert len(after) <= len(before) / 3 + seconds / LONG_SECONDS + 2


def test_failures_and_a_stop_are_seen_in_time_however_long_a_question_takes() -> None:
    patience = Patience()
    patience.learn("train ", 7200.0)
    assert patience.pause("train ", 0.0) == LONG_SECONDS
    # An answer that comes much sooner than the last is not left lying.
    assert patience.pause("train ", 3.0) <= LONG_SECONDS
