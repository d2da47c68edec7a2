"""The line to one site is cut or bad: the run waits for it, and its release is the undisturbed one.

The site is on a host of its own, from which the coordinator is reached over that line only.
"""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from conftest import Build, release_bytes
from consortium import MYOFED, START_SECONDS, Consortium, until
from hosts import CUT, Host, Quality, Unavailable

from server.network.folder import CoordinatorFolder

pytestmark = [pytest.mark.slow, pytest.mark.soak]

LONG = 300.0
CUT_SECONDS = 30.0
AFAR, BESIDE = "bergamo", "aldgate"
"""The site on the host of its own, and another one that trains as well."""
BAD = Quality(delay=0.05, jitter=0.02, loss=0.05)
STEADY_SECONDS = 3.0


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    try:
        made = Host()
    except Unavailable as why:
        pytest.skip(f"no host of its own for a site: {why}")
    yield made
    made.remove()


@pytest.fixture(scope="module")
def consortium(host: Host, build: Build) -> Consortium:
    # The host is asked for first, so that it outlives the processes that use it.
    made = build(host=host.near)
    made.start_coordinator()
    for name in made.sites:
        if name != AFAR:
            made.start_site(name)
    start_on(host, made, AFAR)
    until(lambda: made.online() == set(made.sites), START_SECONDS, "all sites are online")
    return made


def start_on(host: Host, consortium: Consortium, site: str) -> None:
    """Bring a site up on a host of its own."""
    link = consortium.folder / f"l-{site}"
    around = ",".join([host.near, os.environ.get("NO_PROXY", "")])
    log = (consortium.folder / f"{site}.out").open("ab")
    consortium.processes[site] = subprocess.Popen(
        host.command(MYOFED, "site", "up", consortium.sites[site], "--link", link),
        cwd=consortium.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        env={**os.environ, "NO_PROXY": around, "no_proxy": around},
    )  # fmt: skip
    log.close()


def test_an_answer_that_goes_into_a_dead_line_arrives_when_it_is_mended(
    host: Host, consortium: Consortium, simulated: dict[str, bytes]
) -> None:
    run = consortium.submit()
    until(lambda: consortium.reached(run, "train", number=1), LONG, "the first round")
    # The worker is halted, so that the question of a round is surely there and the answer is not.
    with ExitStack() as dead:
        with consortium.halted(AFAR):
            until_only(consortium, AFAR)
            dead.enter_context(host.line.spoiled(CUT))
        before = settled(consortium, run)
        time.sleep(CUT_SECONDS)
        assert settled(consortium, run) == before
    finishes_as_if_undisturbed(consortium, run, simulated)


def test_a_question_that_goes_into_a_dead_line_is_put_again_when_it_is_mended(
    host: Host, consortium: Consortium, simulated: dict[str, bytes]
) -> None:
    run = consortium.submit()
    until(lambda: consortium.reached(run, "train", number=1), LONG, "the first round")
    # Another site holds the round up. When this one has answered it asks for its next question,
    # and the coordinator keeps that until there is one: it will be given into the dead line.
    earlier = lost(consortium, AFAR)
    with ExitStack() as dead:
        with consortium.halted(BESIDE):
            until_only(consortium, BESIDE)
            dead.enter_context(host.line.spoiled(CUT))
        until(lambda: AFAR in unanswered(consortium), LONG, "the next question is on its way")
        before = settled(consortium, run)
        time.sleep(CUT_SECONDS)
        assert settled(consortium, run) == before
    finishes_as_if_undisturbed(consortium, run, simulated)
    assert len(lost(consortium, AFAR)) > len(earlier)


def test_a_slow_line_that_loses_packets_only_takes_longer(
    host: Host, consortium: Consortium, simulated: dict[str, bytes]
) -> None:
    before = host.line.lost
    with host.line.spoiled(BAD):
        run = consortium.submit()
        finishes_as_if_undisturbed(consortium, run, simulated)
    assert host.line.lost > before


def finishes_as_if_undisturbed(
    consortium: Consortium, run: str, simulated: dict[str, bytes]
) -> None:
    """Wait for the end of a run: no site may be missing, and the release is the simulation's."""
    assert consortium.outcome(run, LONG)["event"] == "finished"
    asked = [event for event in consortium.events(run) if event["event"] == "asked"]
    assert not any(event["failures"] for event in asked)
    assert release_bytes(consortium.run_folder(run)) == simulated


def settled(consortium: Consortium, run: str) -> int:
    """How many questions of a run have been settled."""
    return sum(event["event"] == "asked" for event in consortium.events(run))


def until_only(consortium: Consortium, site: str) -> None:
    """Wait until a question waits for one site only, and goes on to do so."""
    since = time.monotonic()

    def steady() -> bool:
        nonlocal since
        if unanswered(consortium) != {site}:
            since = time.monotonic()
        return time.monotonic() - since > STEADY_SECONDS

    until(steady, LONG, f"only {site} is waited for")


def unanswered(consortium: Consortium) -> set[str]:
    """The sites that have been sent a question which they have not answered, or not got."""
    nodes: dict[str, int] = {}
    for line in account(consortium):
        match line.split():
            case ["sent", message, node]:
                nodes[message] = int(node)
            case ["answered" | "lost", message]:
                nodes.pop(message, None)
    return {name for name in consortium.sites if node_of(consortium, name) in nodes.values()}


def lost(consortium: Consortium, site: str) -> list[str]:
    """The questions to a site that the coordinator found to be lost."""
    found = [line.split() for line in account(consortium)]
    node = str(node_of(consortium, site))
    its = {words[1] for words in found if words[0] == "sent" and words[2] == node}
    return [words[1] for words in found if words[0] == "lost" and words[1] in its]


def account(consortium: Consortium) -> list[str]:
    """The lines of the coordinator's account of messages."""
    path = CoordinatorFolder.open(consortium.coord).account
    text = path.read_text(encoding="ascii")
    return text[: text.rfind("\n") + 1].splitlines()


def node_of(consortium: Consortium, site: str) -> int:
    """Flower's number of a site's node, which it keeps for as long as it has its key."""
    log = consortium.sites[site] / "node" / "node.log"
    return int(re.findall(r"SuperNode ID: (\d+)", log.read_text(encoding="utf-8"))[-1])
