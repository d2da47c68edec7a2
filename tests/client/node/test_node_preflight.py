"""Before Flower: a clear sentence for each thing between a node and its coordinator."""

from __future__ import annotations

import json
import logging
import platform
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from loopback_tls import DAY, Authority, https_server
from node_samples import make_room

from client.node import preflight, process
from client.node.preflight import STILL_ALIVE, await_coordinator, obstacle
from client.node.stock import arguments, environment
from client.node.words import CONNECTED, WAITING, Words, last_words
from client.rooms import NodeRoom, NodeSettings, Part
from common.errors import WrongUse
from common.identity import fingerprint, public_half

KNOWN = (400, b'{"code": 2003, "detail": ""}')
UNKNOWN = (412, b'{"code": 2004, "detail": ""}')


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def room(tmp_path: Path, authority: Authority) -> NodeRoom:
    make_room(tmp_path / "tufts", "tufts", "localhost:1", authority.ca.read_text())
    return NodeRoom.of(tmp_path / "tufts")


@pytest.fixture
def closed() -> Iterator[int]:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


def points_at(room: NodeRoom, port: int, host: str = "localhost") -> None:
    room.save(NodeSettings("tufts", f"{host}:{port}"))


def test_the_codes_are_flower_s() -> None:
    from flwr.supercore.error import ApiErrorCode

    assert json.loads(KNOWN[1])["code"] == ApiErrorCode.FLEET_INVALID_HEARTBEAT_INTERVAL
    assert json.loads(UNKNOWN[1])["code"] == ApiErrorCode.FLEET_NODE_ACTIVATION_FAILED


def test_nothing_in_the_way(room: NodeRoom, authority: Authority) -> None:
    with https_server(*authority.server(), post=KNOWN) as port:
        points_at(room, port)
        assert obstacle(room) is None


def test_each_obstacle_has_its_sentence(
    room: NodeRoom, authority: Authority, closed: int, tmp_path: Path
) -> None:
    shown = fingerprint(public_half(room.key))
    other = Authority(tmp_path / "other")
    cases: list[tuple[tuple[Path, Path], dict[str, Any], str]] = [
        (authority.server(), {"post": UNKNOWN}, f"does not know this site's key {shown}. Send"),
        (other.server(), {}, "not signed by the authority of the invitation"),
    ]
    for files, options, words in cases:
        with https_server(*files, **options) as port:
            points_at(room, port)
            assert words in (obstacle(room) or "")
    for ends, begins, words in (
        (-DAY / 24, -2 * DAY, "has expired"),
        (29 * DAY, DAY, "is not valid yet"),
    ):
        with https_server(*authority.server(begins=begins, ends=ends)) as port:
            points_at(room, port)
            assert words in (obstacle(room) or "")
    with https_server(*authority.server(["elsewhere.org"])) as port:
        points_at(room, port)
        assert "is for elsewhere.org, and not for localhost" in (obstacle(room) or "")
    points_at(room, closed)
    assert f"The connection to localhost:{closed} is refused." in (obstacle(room) or "")
    points_at(room, closed, "nowhere.invalid")
    assert "nowhere.invalid cannot be resolved" in (obstacle(room) or "")


def test_a_refused_signature_is_a_matter_of_the_clock(room: NodeRoom, authority: Authority) -> None:
    refused = (401, b'{"detail": "Invalid SuperNode authentication"}')
    with https_server(*authority.server(), post=refused, seconds_ahead=-120) as port:
        points_at(room, port)
        assert "This clock is 120 seconds ahead" in (obstacle(room) or "")
    with https_server(*authority.server(), post=refused) as port:
        points_at(room, port)
        assert "refuses the signature" in (obstacle(room) or "")


def test_a_slow_clock_that_flower_takes_is_no_obstacle(
    room: NodeRoom, authority: Authority
) -> None:
    with https_server(*authority.server(), post=KNOWN, seconds_ahead=120) as port:
        points_at(room, port)
        assert obstacle(room) is None


def test_it_waits_longer_and_longer_and_says_each_reason_once(
    room: NodeRoom, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reasons = iter(["It is down."] * 9 + ["It is odd."] * 2 + [None])
    monkeypatch.setattr(preflight, "obstacle", lambda _: next(reasons))
    monkeypatch.setattr(preflight, "_earlier_connection", lambda _: None)
    slept: list[float] = []
    await_coordinator(room, Words(room), slept.append)
    assert len(slept) == 11
    assert 0.8 <= slept[0] <= 1.2
    assert all(one <= 36.0 for one in slept)
    assert slept[-1] > 20.0
    printed = capsys.readouterr().out
    assert printed.count("It is down.") == printed.count("It is odd.") == 1
    assert last_words(room) == (WAITING, "It is odd.")


def test_an_earlier_connection_is_waited_for_on_another_computer(
    room: NodeRoom, authority: Authority
) -> None:
    """A number kept by another computer is not used: a copied folder signs nobody off."""
    room.number.write_text(json.dumps({"number": 7, "computer": "another"}))
    with https_server(*authority.server(), post=UNKNOWN) as port:
        points_at(room, port)
        assert preflight._earlier_connection(room) == STILL_ALIVE
    room.number.write_text(json.dumps({"number": 7, "computer": platform.node()}))
    with https_server(*authority.server(), post=UNKNOWN) as port:
        points_at(room, port)
        assert preflight._earlier_connection(room) is None
    with https_server(*authority.server(), post=(401, b"{}")) as port:
        points_at(room, port)
        assert preflight._earlier_connection(room) == STILL_ALIVE
    assert not room.number.exists()


def test_last_words_of_a_node_that_said_none(room: NodeRoom) -> None:
    assert last_words(room) == ("", "")
    Words(room).say(CONNECTED, "Connected.")
    assert last_words(room) == (CONNECTED, "Connected.")
    room.state.write_text("{")
    assert last_words(room) == ("", "")


def test_what_the_supernode_logs_is_put_into_words(
    room: NodeRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once: the coordinator may keep its next question for a long time."""
    looked = threading.Event()
    monkeypatch.setattr(process, "obstacle", lambda _: looked.set() or "The line is cut.")
    handler = process._Connection(room, Words(room), "Connected to it.")
    logger = logging.Logger("supernode")
    logger.addHandler(handler)
    for told in ("SuperNode ID: %s", "Connection successful after %s tries."):
        logger.info(told, 7)
        assert last_words(room) == (CONNECTED, "Connected to it.")
        looked.clear()
        logger.warning("Connection attempt failed, retrying in %.2f seconds", 1.0)
        assert looked.wait(10)
        with handler._looking:
            assert last_words(room) == (WAITING, "The line is cut.")


def test_a_node_that_has_not_joined_says_so_and_ends(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    room = NodeRoom.of(tmp_path)
    room.make()
    link = ["--link", str(tmp_path / "link")]
    assert process.main([str(room.path), *link]) == 2
    assert "is not a node's folder" in capsys.readouterr().out
    room.save(NodeSettings("tufts"))
    assert process.main([str(room.path), *link]) == 2
    assert "has not joined a coordinator yet" in capsys.readouterr().out
    room.settings_file.write_text('{"site": 3}')
    with pytest.raises(WrongUse, match="is damaged"):
        room.settings()


def test_the_environment_keeps_flower_quiet_and_at_home(
    room: NodeRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "hospital.org, 127.0.0.1")
    found = environment(room, Path("/link"))
    assert found["FLWR_HOME"] == str(room.flower)
    assert found["FLWR_TELEMETRY_ENABLED"] == "0"
    assert found["FLWR_DISABLE_UPDATE_CHECK"] == "1"
    assert found["NO_PROXY"] == found["no_proxy"] == "hospital.org,127.0.0.1,localhost"
    assert found["MYOFED_LINK"] == "/link"
    given = arguments(room, NodeSettings("tufts", "c:1", health="127.0.0.1:7"), 5)
    assert given[given.index("--superlink") + 1] == "c:1"
    assert given[given.index("--host") + 1] == "127.0.0.1"
    assert given[given.index("--health-server-address") + 1] == "127.0.0.1:7"
    assert "--insecure" not in given


def test_parts_are_read_from_what_a_person_writes() -> None:
    assert Part.of("") is None
    assert Part.of("node") is Part.NODE
    with pytest.raises(WrongUse, match="There is no 'both'"):
        Part.of("both")
