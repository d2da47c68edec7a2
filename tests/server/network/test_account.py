"""The account of the messages: what is with a node, answered, or lost, and who reads of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.network import account as module
from server.network.account import Account, News


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "messages.log"


def post(account: Account, *messages: tuple[str, int]) -> None:
    account.sending(messages)
    account.sent(messages)


def heard(news: News) -> tuple[set[str], set[str]]:
    news.read()
    return news.answered, news.lost


def test_an_answer_is_told_once_and_only_by_the_message_s_own_node(path: Path) -> None:
    account, news = Account(path), News(path)
    post(account, ("a", 7), ("b", 8))
    assert heard(news) == (set(), set())
    account.answered(8, ["a", "nowhere"])
    assert heard(news) == (set(), set())
    account.answered(7, ["a"])
    account.answered(7, ["a"])
    assert heard(news) == ({"a"}, set())
    news.answered.clear()
    assert heard(news) == (set(), set())


def test_what_a_node_has_not_answered_is_with_it_until_it_is_lost(path: Path) -> None:
    account, news = Account(path), News(path)
    post(account, ("a", 7), ("b", 8), ("c", 7))
    assert account.with_node(7) == ["a", "c"]
    account.answered(7, ["a"])
    account.lost(["a", "c"])
    assert account.with_node(7) == []
    assert heard(news) == ({"a"}, {"c"})


def test_a_message_on_its_way_to_the_superlink_is_not_lost_yet(path: Path) -> None:
    account = Account(path)
    account.sending([("a", 7)])
    assert account.with_node(7) == []
    account.sent([("a", 7)])
    assert account.with_node(7) == ["a"]


def test_a_new_superlink_knows_what_the_old_one_was_about_to_send(path: Path) -> None:
    first = Account(path)
    post(first, ("a", 7), ("b", -8), ("c", 9))
    first.sending([("d", 7)])
    first.answered(7, ["a"])
    first.lost(["c"])
    news = News(path)
    second = Account(path)
    assert (second.with_node(7), second.with_node(-8), second.with_node(9)) == (["d"], ["b"], [])
    second.answered(-8, ["b"])
    assert heard(news) == ({"b"}, set())


def test_what_was_not_whole_when_the_superlink_ended_is_a_torso(path: Path) -> None:
    first = Account(path)
    post(first, ("a", 7), ("b", 7))
    first.sending([("c", 8)])
    first.whole([("a", 7), ("nowhere", 7)])
    assert not any(first.is_torso(one) for one in "abc")
    second = Account(path)
    assert [one for one in "abc" if second.is_torso(one)] == ["b", "c"]
    post(second, ("d", 7), ("b", 7))
    assert [one for one in "abcd" if second.is_torso(one)] == ["c"]


def test_a_long_account_is_shortened_at_the_start_and_its_reader_goes_on(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LARGEST", 100)
    first = Account(path)
    post(first, *((f"m{number}", 7) for number in range(20)))
    first.whole([("m19", 7), ("m18", 7)])
    first.answered(7, (f"m{number}" for number in range(19)))
    news = News(path)
    second = Account(path)
    assert path.read_text() == "sent m19 7\nwhole m19\n"
    second.answered(7, ["m19"])
    assert heard(news) == ({"m19"}, set())


@pytest.mark.parametrize("name", ["", "a b", "a\nanswered b", "x" * 129])
def test_what_is_no_name_of_a_message_is_not_entered(path: Path, name: str) -> None:
    account = Account(path)
    post(account, (name, 7))
    assert account.with_node(7) == []
    assert path.read_text() == ""


def test_damaged_lines_and_half_a_line_do_no_harm(path: Path) -> None:
    path.write_bytes(b"sent a 7\nsent b\nsent c x\n\xff\xfe\nlost\nsent d 7\nansw")
    account = Account(path)
    assert account.with_node(7) == ["a", "d"]


def test_a_line_is_read_when_it_is_whole(path: Path) -> None:
    path.touch()
    news = News(path)
    with path.open("ab", buffering=0) as file:
        file.write(b"answered a\nans")
        assert heard(news) == ({"a"}, set())
        file.write(b"wered b\n")
        assert heard(news) == ({"a", "b"}, set())


def test_there_may_be_no_account_yet(path: Path) -> None:
    news = News(path)
    assert heard(news) == (set(), set())
    account = Account(path)
    post(account, ("a", 7))
    account.answered(7, ["a"])
    assert heard(news) == ({"a"}, set())
