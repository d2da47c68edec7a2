"""Who is online, by key."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from network_samples import request_of

from common.identity import node_key
from server.directory import Present
from server.network.keys import KeyDirectory


@dataclass
class Info:
    node_id: int
    public_key: bytes
    last_activated_at: str


class Grid:
    def __init__(self, *nodes: Info) -> None:
        self.nodes = list(nodes)

    def get_nodes(self) -> list[Info]:
        return self.nodes


def test_a_node_is_the_site_of_its_key(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tufts, bern, other = (request_of(tmp_path, name) for name in ("tufts", "bern", "other"))
    grid = Grid(
        Info(11, node_key(tufts.public_key), "2026-01-01T00:00:00+00:00"),
        Info(12, node_key(other.public_key), "2026-01-01T00:00:00+00:00"),
    )
    admitted = {node_key(tufts.public_key): "tufts", node_key(bern.public_key): "bern"}
    directory = KeyDirectory(grid, lambda: admitted)
    for _ in range(3):
        assert directory.present() == {"tufts": Present(11, "2026-01-01T00:00:00+00:00")}
    assert [record.getMessage() for record in caplog.records] == [
        "node 12 is ignored: its key is not admitted"
    ]
    admitted[node_key(other.public_key)] = "other"
    assert set(directory.present()) == {"tufts", "other"}


@pytest.mark.parametrize("turned", [False, True])
def test_of_two_nodes_with_one_key_the_later_counts(tmp_path: Path, turned: bool) -> None:
    tufts = request_of(tmp_path, "tufts")
    key = node_key(tufts.public_key)
    nodes = [
        Info(11, key, "2026-01-01T00:00:00+00:00"),
        Info(10, key, "2026-01-02T00:00:00+00:00"),
    ]
    directory = KeyDirectory(Grid(*(nodes[::-1] if turned else nodes)), lambda: {key: "tufts"})
    assert directory.present()["tufts"].node == 10
