"""What Flower's database is spared at each request, and that the rest goes on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flwr.server.superlink.linkstate import LinkStateFactory
from flwr.server.superlink.linkstate.sql_linkstate import SqlLinkState
from flwr.supercore.corestate.sql_corestate import SqlCoreState
from flwr.supercore.object_store import ObjectStoreFactory
from flwr.superlink.federation.noop_federation_manager import NoOpFederationManager
from sqlalchemy import Engine, event

from server.network import seldom as module
from server.network.seldom import at_most_each, look_seldom


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


@pytest.fixture
def statements() -> Iterator[list[str]]:
    told: list[str] = []

    def note(_c: Any, _k: Any, statement: str, *_: Any) -> None:
        told.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    yield told
    event.remove(Engine, "before_cursor_execute", note)


def test_flower_s_database_looks_for_the_dead_once_a_second(
    tmp_path: Path, statements: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    look, traffic = "_cleanup_expired_task_tokens", "store_traffic"
    monkeypatch.setattr(SqlCoreState, look, getattr(SqlCoreState, look))
    monkeypatch.setattr(SqlLinkState, traffic, getattr(SqlLinkState, traffic))
    file = str(tmp_path / "state.db")
    state = LinkStateFactory(file, NoOpFederationManager(), ObjectStoreFactory(file)).state()

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


def test_another_flower_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    before = SqlLinkState.store_traffic
    monkeypatch.setitem(module.READ, next(iter(module.READ)), "another")
    assert not look_seldom()
    assert SqlLinkState.store_traffic is before
