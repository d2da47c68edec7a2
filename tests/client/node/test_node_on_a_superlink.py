"""The node against a stock SuperLink: it answers soon, runs no sent code, and always comes back."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from flwr.proto.runtime_pb2 import AcquireTaskRequest
from flwr.supercore.constant import TaskType
from flwr.supercore.inflatable import inflatable_utils
from flwr.supercore.runtime import RuntimeHttpClient
from loopback_superlink import SuperLink, ask, online
from loopback_tls import Authority, until
from node_samples import group_lives, kill, question, short_folder, sites, start_node

from client.node.carrier import FOREIGN
from client.node.checked_app import ForeignApp
from client.rooms import link_of
from common.errors import MyoFedError
from common.flower_objects import quicken_objects
from common.folding import unfolded

pytestmark = pytest.mark.slow

ROUND_TRIP_SECONDS = 2.0
SLOW_ROUND_TRIP_SECONDS = 4.0
"""Of an empty question to three nodes; on a computer that does nothing else."""


@pytest.fixture(scope="module")
def superlink() -> Iterator[SuperLink]:
    with short_folder() as folder:
        made = SuperLink(folder / "superlink", Authority(folder / "authority")).start()
        try:
            yield made
        finally:
            made.stop()


@pytest.fixture
def soon() -> Iterator[None]:
    """Let the coordinator's half look as soon as the node's does."""
    functions = (
        inflatable_utils.pull_objects,
        inflatable_utils.pull_and_inflate_object_from_tree,
    )
    before = [dict(function.__kwdefaults__ or {}) for function in functions]
    assert quicken_objects()
    yield
    for function, values in zip(functions, before, strict=True):
        function.__kwdefaults__ = values


def test_three_nodes_answer_an_empty_question_soon(superlink: SuperLink, soon: None) -> None:
    with sites(superlink, ["alpha", "beta", "gamma"]) as made, ExitStack() as running:
        for site in made:
            running.enter_context(site.up())
        until(lambda: all(site.connected() for site in made), 60)
        nodes = [site.number for site in made]
        with superlink.run() as grid:
            until(lambda: online(grid, nodes))
            seconds = []
            for number in range(8):
                begun = time.monotonic()
                answers = ask(grid, nodes, question(number))
                seconds.append(time.monotonic() - begun)
                assert set(answers) == set(nodes)
                for message in answers.values():
                    assert not message.has_error()
                    assert unfolded(message.content)["question"]["number"] == number
        shown = ", ".join(f"{one:.2f}" for one in seconds)
        print(f"round trips of 3 nodes: {shown} s")
        assert statistics.median(seconds[1:]) < ROUND_TRIP_SECONDS, shown
        assert all("Connected to the coordinator" in site.log for site in made)


MARKER = """import pathlib
pathlib.Path({path!r}).write_text("executed")
from flwr.clientapp import ClientApp
app = ClientApp()
@app.query("enrol")
def _(message, context):
    raise RuntimeError("sent code")
"""


def test_another_app_than_the_installed_one_is_refused_and_not_executed(
    superlink: SuperLink, tmp_path: Path
) -> None:
    marker = tmp_path / "marker"
    code = MARKER.format(path=str(marker)).encode()
    sent = {"sent.py": code, "client/__init__.py": b"", "client/app.py": code}
    with sites(superlink, ["delta"]) as [site], site.up():
        until(site.connected, 60)
        for reference in ("sent:app", "client.app:app"):
            with superlink.run(reference, sent) as grid:
                until(lambda grid=grid: online(grid, [site.number]))
                answer = ask(grid, [site.number], question(7))[site.number]
                assert answer.content["refusal"]["code"] == FOREIGN.code
        assert FOREIGN.public in site.log
        assert not marker.exists()
        assert not (site.room.flower / "apps").exists()
        assert not [path for path in site.path.rglob("*.py")]


def test_an_error_of_the_app_says_nothing_of_the_site(superlink: SuperLink) -> None:
    with sites(superlink, ["epsilon"]) as [site], site.up():
        until(site.connected, 60)
        with superlink.run() as grid:
            until(lambda: online(grid, [site.number]))
            answer = ask(grid, [site.number], question(), stage="pictures")[site.number]
            assert answer.has_error()
            assert answer.error.reason == f"{MyoFedError.code}: {MyoFedError.public}"
            again = ask(grid, [site.number], question(1))[site.number]
            assert not again.has_error()
        assert "query.pictures failed" in site.log


def test_nobody_else_on_the_computer_can_take_a_question(superlink: SuperLink) -> None:
    with sites(superlink, ["zeta"]) as [site], site.up():
        until(site.connected, 60)
        port = until(lambda: site.log.partition("http://127.0.0.1:")[2].partition(" ")[0])
        wanted = AcquireTaskRequest(supported_task_types=[TaskType.CLIENT_APP])
        address = f"127.0.0.1:{port}"
        with (
            RuntimeHttpClient.from_server_address(address, True, None, []) as stranger,
            pytest.raises(httpx.HTTPStatusError) as refused,
        ):
            stranger.AcquireTask(wanted)
        assert refused.value.response.status_code == httpx.codes.UNAUTHORIZED
        kept = [path for path in site.room.path.rglob("*") if "secret" in path.name]
        assert not kept


def test_a_killed_node_comes_back_by_itself(superlink: SuperLink) -> None:
    with sites(superlink, ["eta"]) as [site], site.up(), superlink.run() as grid:
        until(site.connected, 60)
        for number in range(2):
            until(lambda: online(grid, [site.number]))
            assert ask(grid, [site.number], question(number))
            site.room.state.unlink()
            kill(site.processes[-1])
            begun = time.monotonic()
            until(site.connected, 50)
            print(f"back after {time.monotonic() - begun:.1f} s")
        assert ask(grid, [site.number], question(2))
        assert len(site.processes) == 3
        assert any("signal SIGKILL" in line for line in site.told)


def test_a_node_in_the_way_of_a_proxy_still_reaches_itself(superlink: SuperLink) -> None:
    dead = "http://127.0.0.1:9"
    proxies = (("HTTP_PROXY", dead), ("HTTPS_PROXY", dead), ("NO_PROXY", "localhost"))
    with sites(superlink, ["theta"]) as [site], site.up(*proxies), superlink.run() as grid:
        until(site.connected, 60)
        until(lambda: online(grid, [site.number]))
        assert ask(grid, [site.number], question())


def test_an_unknown_key_waits_says_so_and_connects_once_admitted(superlink: SuperLink) -> None:
    with sites(superlink, ["iota"], admitted=False) as [site], site.up():
        words = f"The coordinator does not know this site's key {site.key}."
        until(lambda: site.says(words), 60)
        until(lambda: any(words in line for line in site.told))
        assert "ask to be admitted" in site.log
        site.admit(superlink)
        until(site.connected, 60)
        assert len(site.processes) == 1
        assert site.log.count(words) == 1
        private = site.room.key.read_text().splitlines()[1:-1]
        assert not [line for line in private if line in site.log]
        assert site.room.key.stat().st_mode & 0o777 == 0o600


def test_a_withdrawn_site_is_told_so(superlink: SuperLink) -> None:
    with sites(superlink, ["kappa"]) as [site], site.up():
        until(site.connected, 60)
        superlink.withdraw(site.number)
        until(lambda: site.says("does not know this site's key"), 60)


def test_a_node_leaves_when_it_is_asked_to(superlink: SuperLink) -> None:
    with sites(superlink, ["lambda"]) as [site], superlink.run() as grid:
        with site.up():
            until(site.connected, 60)
            until(lambda: online(grid, [site.number]))
            begun = time.monotonic()
        print(f"stopped after {time.monotonic() - begun:.1f} s")
        assert time.monotonic() - begun < 10
        until(lambda: not online(grid, [site.number]), 10)


def test_a_folder_has_one_node(superlink: SuperLink) -> None:
    with sites(superlink, ["mu"]) as [site], site.up():
        until(site.connected, 60)
        second = start_node(site.room, link_of(site.path))
        said, _ = second.communicate(timeout=30)
        assert second.returncode == 2
        assert "Another node runs with the folder" in said
        assert not group_lives(second.pid)


@pytest.mark.soak
def test_at_flower_s_own_pace_it_works_too_and_runs_no_other_app(
    superlink: SuperLink, soon: None, tmp_path: Path
) -> None:
    """The bundle holds no code: the installed package has it."""
    with sites(superlink, ["nu", "xi", "omicron"]) as made, ExitStack() as running:
        for site in made:
            running.enter_context(site.up(("MYOFED_PACE", "flower")))
        until(lambda: all("Flower's own pace, as asked" in site.log for site in made), 60)
        nodes = [site.number for site in made]
        with superlink.run() as grid:
            until(lambda: online(grid, nodes), 60)
            seconds = []
            for number in range(4):
                begun = time.monotonic()
                answers = ask(grid, nodes, question(number), seconds=120.0)
                seconds.append(time.monotonic() - begun)
                assert not [message for message in answers.values() if message.has_error()]
        marker = tmp_path / "marker"
        code = MARKER.format(path=str(marker)).encode()
        with superlink.run("sent:app", {"sent.py": code}) as grid:
            until(lambda: online(grid, nodes), 60)
            answers = ask(grid, nodes, question(), seconds=120.0)
            for message in answers.values():
                assert ForeignApp.public in message.error.reason
        assert not marker.exists()
        print(f"round trips at Flower's own pace: {', '.join(f'{s:.2f}' for s in seconds)} s")


def test_a_superlink_that_restarts_is_found_again(tmp_path: Path) -> None:
    with short_folder() as folder:
        superlink = SuperLink(folder / "superlink", Authority(folder / "authority")).start()
        try:
            with sites(superlink, ["pi"]) as [site], site.up():
                until(site.connected, 60)
                superlink.stop()
                until(lambda: site.says("is refused"), 60)
                until(lambda: any("waiting" in line for line in site.told))
                superlink.start()
                until(site.connected, 90)
                with superlink.run() as grid:
                    until(lambda: online(grid, [site.number]), 90)
                    assert ask(grid, [site.number], question())
                assert len(site.processes) == 1
        finally:
            superlink.stop()
