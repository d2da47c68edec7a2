"""The dashboard on a real run of which a site is killed: what a person would look for is there."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from typing import Any

import httpx
import psutil
import pytest
from conftest import Build
from consortium import Consortium, until
from page_samples import NO_BROWSER, chromium, dashboard_of, has_browser, page_of, violations

pytestmark = [
    pytest.mark.slow,
    pytest.mark.soak,
    pytest.mark.skipif(not has_browser(), reason=NO_BROWSER),
]

LONG = 600.0
ROUNDS = 60
TWO_OF_THREE = """
[secure_sum]
enabled = false
[quorum]
min_sites = 2
[quorum.deadline_seconds]
train = 25.0
"""
SCREEN_SECONDS = 2.0


@pytest.fixture(scope="module")
def consortium(build: Build) -> Consortium:
    made = build(tables=TWO_OF_THREE, rounds=ROUNDS)
    made.start()
    return made


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


def kill_site(consortium: Consortium, name: str) -> None:
    """Pull a site's plug: its processes are gone at once, and nobody says goodbye."""
    above = consortium.processes.pop(name)
    family = [*psutil.Process(above.pid).children(recursive=True), psutil.Process(above.pid)]
    for one in reversed(family):
        one.send_signal(signal.SIGKILL)
    above.wait(30)


def rounds_of(consortium: Consortium, run: str) -> int:
    return sum(
        event["event"] == "asked" and event["stage"] == "train" for event in consortium.events(run)
    )


def test_a_killed_site_is_found_on_the_page_and_the_run_goes_on(
    consortium: Consortium, browser: Any
) -> None:
    run = consortium.submit()
    with (
        dashboard_of(consortium.coord) as address,
        page_of(browser, address) as page,
    ):
        page.get_by_text("live", exact=True).wait_for()
        bergamo = page.get_by_role("row", name="bergamo")
        until(lambda: rounds_of(consortium, run) >= 3, LONG, "three rounds")

        # From an event at the coordinator to the screen.
        before = rounds_of(consortium, run)
        until(lambda: rounds_of(consortium, run) > before, LONG, "another round")
        told = time.monotonic()
        until(lambda: _rounds_shown(page) > before, LONG, "the page shows it")
        assert time.monotonic() - told < SCREEN_SECONDS

        kill_site(consortium, "bergamo")
        at_kill = rounds_of(consortium, run)
        # Nobody knows yet whether it is slow or gone.
        bergamo.locator(".state.late, .state.gone").wait_for(timeout=1000 * LONG)
        alerts = page.get_by_role("region", name="Needs attention")
        assert "bergamo" in alerts.inner_text()
        until(lambda: rounds_of(consortium, run) >= at_kill + 3, LONG, "the run goes on")
        page.get_by_text("The run goes on: 2 of 3 training sites answered last").wait_for()
        states = [
            page.get_by_role("row", name=name).locator(".state").inner_text()
            for name in ("aldgate", "coimbra")
        ]
        assert not any("gone" in state or "late" in state for state in states), states

        gone = bergamo.get_by_text("gone")
        consortium.hold_up("coimbra", gone.is_visible, LONG, "bergamo is gone")
        alerts.get_by_text("myofed site up").wait_for()
        assert violations(page) == []

        metrics = httpx.get(f"{address}metrics").text
        assert f'myofed_site_state{{run="{run}",site="bergamo",state="gone"}} 1.0' in metrics

        assert consortium.outcome(run, LONG)["event"] == "finished"
        page.get_by_text("Finished", exact=True).wait_for()
        assert page.locator(".badge").inner_text() == "finished"
        looks = page.locator("dl.facts > div", has_text="Looks at external sites")
        assert "dorpat 1" in looks.inner_text()
        assert violations(page) == []

    shown = json.loads(consortium.command("watch", consortium.run_folder(run), "--json").stdout)
    assert shown["state"] == "finished"
    assert {one["site"] for one in shown["failures"]} == {"bergamo"}
    assert shown["sites_measured"], "single sites' curves are known without masks"
    assert (consortium.run_folder(run) / "tensorboard" / "fold-0").is_dir()


def _rounds_shown(page: Any) -> int:
    """How many rounds of training the page says are done."""
    words = page.locator(".step", has_text="train").inner_text().split()
    if "of" not in words:
        return ROUNDS if "✓" in words else 0
    return int(words[words.index("of") - 1])
