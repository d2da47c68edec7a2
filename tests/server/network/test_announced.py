"""The grid that is asked when an answer has come, and gives an error for what got lost."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from flwr.app import Message, RecordDict
from flwr.common.constant import ErrorCode
from flwr.supercore.task_identity import TaskIdentity

from server.network import announced
from server.network.account import News
from server.network.announced import AnnouncedGrid


class Grid:
    """Flower's grid: it has the answers named in `there`, and counts how often it is asked."""

    def __init__(self, *there: str) -> None:
        TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 0, 1
        self.there = list(there)
        self.asked: list[str] = []

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        return [f"message {number}" for number, _ in enumerate(messages)]

    def pull_messages(self, ids: Iterable[str]) -> list[Message]:
        [one] = ids
        self.asked.append(one)
        if one not in self.there:
            return []
        question = Message(RecordDict(), 5, "query.enrol")
        question.metadata.__dict__["_message_id"] = one
        return [Message(RecordDict(), reply_to=question)]


def made(tmp_path: Path, grid: Grid, lines: str = "") -> tuple[Any, Path]:
    path = tmp_path / "messages.log"
    path.touch()
    post = AnnouncedGrid(grid, News(path))  # type: ignore[arg-type]
    path.write_text(lines)
    return post, path


def test_nobody_is_asked_before_something_has_come(tmp_path: Path) -> None:
    grid = Grid("a", "b")
    post, path = made(tmp_path, grid)
    assert list(post.pull_messages(["a", "b"])) == []
    assert grid.asked == []
    path.write_text("answered b\n")
    [answer] = post.pull_messages(["a", "b"])
    assert answer.metadata.reply_to_message_id == "b"
    assert not answer.has_error()
    assert list(post.pull_messages(["a", "b"])) == []
    assert grid.asked == ["b"]


def test_an_announced_answer_is_asked_for_until_it_is_had(tmp_path: Path) -> None:
    grid = Grid()
    post, _ = made(tmp_path, grid, "answered a\n")
    assert list(post.pull_messages(["a"])) == []
    grid.there.append("a")
    assert len(list(post.pull_messages(["a"]))) == 1
    assert grid.asked == ["a", "a"]


def test_what_got_lost_is_answered_as_flower_answers_what_cannot_be_had(tmp_path: Path) -> None:
    grid = Grid()
    post, _ = made(tmp_path, grid, "lost a\n")
    [answer] = post.pull_messages(["a"])
    assert answer.has_error()
    assert answer.error.code == ErrorCode.MESSAGE_UNAVAILABLE
    assert answer.metadata.reply_to_message_id == "a"
    assert list(post.pull_messages(["a"])) == []
    assert grid.asked == []


def test_now_and_then_it_looks_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid, now = Grid("a"), [1000.0]
    monkeypatch.setattr(announced.time, "monotonic", lambda: now[0])
    post, _ = made(tmp_path, grid)
    assert list(post.pull_messages(["a"])) == []
    now[0] += announced.LOOK_SECONDS - 1
    assert list(post.pull_messages(["a"])) == []
    assert grid.asked == []
    now[0] += 1
    assert len(list(post.pull_messages(["a"]))) == 1


def test_messages_are_handed_over_as_they_are(tmp_path: Path) -> None:
    post, _ = made(tmp_path, Grid())
    letters = [Message(RecordDict(), node, "query.enrol") for node in (5, 6)]
    assert post.push_messages(letters) == ["message 0", "message 1"]
