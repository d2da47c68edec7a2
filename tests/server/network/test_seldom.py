"""What Flower's database is spared at each request, and that the rest goes on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flwr.server.superlink.linkstate import LinkState, LinkStateFactory
from flwr.server.superlink.linkstate.sql_linkstate import SqlLinkState
from flwr.supercore.corestate.sql_corestate import SqlCoreState
from flwr.supercore.object_store import ObjectStoreFactory
from flwr.supercore.run import RunStatus
from flwr.superlink.federation.noop_federation_manager import NoOpFederationManager
from sqlalchemy import Engine, event

from server.network import seldom as module
from server.network.seldom import at_most_each, look_seldom, remembered


class Counter:
    def __init__(self) -> None:
        self.calls = 0
        self.fails = False

    def method(self) -> None:
        self.calls += 1
        if self.fails:
            raise OSError("the disk is full")


def test_a_method_rests_after_its_work_for_each_object_apart() -> None:
    times = iter((0.0, 0.5, 0.99, 1.0, 1.9, 2.0, 2.0))
    seldom = at_most_each(1.0, Counter.method, lambda: next(times))
    one, other = Counter(), Counter()
    for _ in range(6):
        seldom(one)
    assert one.calls == 3
    seldom(other)
    assert other.calls == 1


def test_work_that_failed_is_tried_again_at_once() -> None:
    seldom = at_most_each(1.0, Counter.method, lambda: 0.0)
    one = Counter()
    one.fails = True
    for _ in range(2):
        with pytest.raises(OSError, match="full"):
            seldom(one)
    one.fails = False
    seldom(one)
    seldom(one)
    assert one.calls == 3


class Asked:
    def __init__(self) -> None:
        self.questions: list[Any] = []
        self.answer: int | None = 7

    def method(self, about: Any) -> int | None:
        self.questions.append(about)
        return self.answer


def test_a_yes_is_remembered_for_a_while_and_a_no_is_not() -> None:
    times = iter((0.0, 0.5, 0.5, 0.6, 1.0, 1.1, 1.2))
    heard = remembered(1.0, Asked.method, bool, lambda: next(times))
    one = Asked()
    assert [heard(one, {1}), heard(one, {1}), heard(one, {2})] == [7, 7, 7]
    one.answer = None
    assert heard(one, {1}) == 7  # heard 0.6 seconds ago
    assert [heard(one, {1}), heard(one, {1})] == [None, None]
    assert heard(one, {2}) == 7
    assert one.questions == [{1}, {2}, {1}, {1}]


def test_what_was_heard_long_ago_is_forgotten_and_objects_do_not_share_it() -> None:
    times = iter((0.0, 5.0, 5.0))
    heard = remembered(1.0, Asked.method, bool, lambda: next(times))
    one, other = Asked(), Asked()
    heard(one, "a")
    heard(one, "b")
    (held,) = (value for name, value in vars(one).items() if name.startswith(module._HEARD))
    assert list(held) == ["b"]
    heard(other, "b")
    assert other.questions == ["b"]


METHODS = (
    (SqlCoreState, "_cleanup_expired_task_tokens"),
    (SqlCoreState, "get_task_by_token"),
    (SqlLinkState, "store_traffic"),
    (SqlLinkState, "get_node_id_by_public_key"),
    (SqlLinkState, "get_run_status"),
)


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LinkState:
    """Flower's database; what a test changes in its classes is undone."""
    for kind, name in METHODS:
        monkeypatch.setattr(kind, name, getattr(kind, name))
    file = str(tmp_path / "state.db")
    return LinkStateFactory(file, NoOpFederationManager(), ObjectStoreFactory(file)).state()


@pytest.fixture
def statements() -> Iterator[list[str]]:
    told: list[str] = []

    def note(_c: Any, _k: Any, statement: str, *_: Any) -> None:
        told.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    yield told
    event.remove(Engine, "before_cursor_execute", note)


def test_flower_s_database_looks_for_the_dead_once_a_second(
    state: LinkState, statements: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def writes_of_a_look() -> int:
        statements.clear()
        assert state.get_run_status(set()) == {}
        return sum(one.startswith("UPDATE task") for one in statements)

    assert [writes_of_a_look(), writes_of_a_look()] == [2, 2]
    assert look_seldom()
    assert [writes_of_a_look(), writes_of_a_look()] == [2, 0]
    monkeypatch.setattr(state, module._DONE, getattr(state, module._DONE) - module.LOOK_SECONDS)
    assert writes_of_a_look() == 2
    statements.clear()
    state.store_traffic(7, bytes_sent=1, bytes_recv=1)
    assert statements == []


def test_a_node_is_looked_up_once_a_second_and_a_stranger_each_time(
    state: LinkState, statements: list[str]
) -> None:
    assert look_seldom()
    node = state.create_node("us", "us", b"its key", 30.0)
    assert state.get_node_id_by_public_key(b"its key") == node
    statements.clear()
    assert state.get_node_id_by_public_key(b"its key") == node
    assert statements == []
    for _ in range(2):
        assert state.get_node_id_by_public_key(b"another's") is None
    assert len(statements) == 2


def test_only_a_run_that_runs_is_remembered() -> None:
    def are(*statuses: str) -> bool:
        return module._all_run(dict(enumerate(RunStatus(one, "", "") for one in statuses)))

    assert are("running")
    assert not any((are(), are("finished"), are("starting"), are("running", "pending")))


def test_another_flower_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    before = SqlLinkState.store_traffic
    monkeypatch.setitem(module.READ, next(iter(module.READ)), "another")
    assert not look_seldom()
    assert SqlLinkState.store_traffic is before
