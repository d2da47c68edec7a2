"""The page in a real browser: found without a mouse, read by everybody, and quick."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from page_samples import (
    NO_BROWSER,
    SCHEMES,
    SIZES,
    chromium,
    dashboard_of,
    has_browser,
    page_of,
    violations,
)
from run_samples import MadeRun, large_run, study_of

from server.network.folder import CoordinatorFolder, Settings
from server.network.locks import locked

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not has_browser(), reason=NO_BROWSER)]

TOKEN = "0123456789abcdef" * 4
SECONDS_TO_SCREEN = 2.0
SECONDS_TO_PAINT = 1.0


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


def troubled(path: Path) -> MadeRun:
    """A run in training; a site is gone, one came back, and one is being waited for."""
    made = MadeRun.begin(path, study_of(4, quorum={"min_sites": 2}, folds=2), time.time() - 120)
    made.enrol()
    made.began("train")
    for number in range(1, 9):
        lost = {"site-001": "lost its connection"} if number > 6 else {}
        lost |= {"site-002": "did not answer in time"} if number == 4 else {}
        made.round(0, number, lost, by_site=True)
    made.now = time.time()
    made.asking("train", ["site-000", "site-002", "site-003"], fold=0, round=9)
    made.answered("train.0.9", ["site-000"])
    return made


def failed(path: Path) -> MadeRun:
    made = MadeRun.begin(path, study_of(3, secure_sum={"enabled": True}), time.time() - 120)
    made.enrol()
    made.say(event="failed", code="run-failed", what="Too few sites.", fix="Wait for them.")
    (path / "lock").touch()
    return made


@pytest.fixture(scope="module")
def coordinator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A coordinator's folder with several runs; one of them is at work."""
    folder = tmp_path_factory.mktemp("coordinator") / "coord"
    CoordinatorFolder.create(folder, Settings(hosts=("localhost",)))
    runs = folder / "runs"
    for make in (failed, troubled):
        made = make(runs / "new")
        path = made.folder.path.rename(runs / made.folder.identity)
        made.folder = type(made.folder)(path, made.study, made.folder.identity)
    with locked(path / "lock"):
        yield folder


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("size", SIZES)
def test_axe_finds_nothing(
    browser: Any, coordinator: Path, scheme: str, size: tuple[int, int]
) -> None:
    how = {"viewport": {"width": size[0], "height": size[1]}, "color_scheme": scheme}
    with (
        dashboard_of(coordinator, "--token-file", str(_token(coordinator))) as address,
        page_of(browser, address, **how) as page,
    ):
        assert page.title() == "Sign in – MyoFed"
        assert violations(page) == []
        page.get_by_label("Token of this dashboard").fill(TOKEN)
        with page.expect_navigation():
            page.get_by_role("button").click()
        assert violations(page) == []
        names = [link.get_attribute("href") for link in page.locator("main a").all()]
        assert len(names) == 2
        for name in names:
            page.goto(address + str(name).lstrip("/"))
            page.get_by_text("live", exact=True).wait_for()
            for summary in page.locator("summary").all():
                summary.click()
            assert violations(page) == [], name
            wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert wide <= 0, "the page scrolls sideways"


def _token(folder: Path) -> Path:
    path = folder / "dashboard.token"
    path.write_text(TOKEN)
    path.chmod(0o600)
    return path


def test_what_happens_at_a_site_is_on_the_screen_in_two_seconds(
    browser: Any, tmp_path: Path
) -> None:
    made = troubled(tmp_path / "run")
    took = []
    with (
        locked(tmp_path / "run" / "lock"),
        dashboard_of(tmp_path / "run") as address,
        page_of(browser, address) as page,
    ):
        page.get_by_text("live", exact=True).wait_for()
        assert page.get_by_text("of 3 sites have answered").is_visible()
        for site, left in (("site-002", "site-003"), ("site-003", "")):
            began = time.monotonic()
            made.answered("train.0.9", [site])
            page.locator("tr", has_text=site).get_by_text("online").wait_for()
            took.append(time.monotonic() - began)
            assert page.get_by_text(f"Waiting for {left}").is_visible() == bool(left)
        began = time.monotonic()
        made.now = time.time()
        made.say(
            event="refused",
            stage="train",
            fold=0,
            round=9,
            site="site-003",
            reason="The site has withdrawn its approval of this study. (approval-withdrawn)",
        )
        page.locator(".alerts").get_by_text("withdrawn its approval").wait_for()
        took.append(time.monotonic() - began)
    assert max(took) < SECONDS_TO_SCREEN, took


def test_who_looks_finds_who_is_gone_what_to_do_and_that_the_run_goes_on(
    browser: Any, tmp_path: Path
) -> None:
    troubled(tmp_path / "run")
    with (
        locked(tmp_path / "run" / "lock"),
        dashboard_of(tmp_path / "run") as address,
        page_of(browser, address) as page,
    ):
        alerts = page.get_by_role("region", name="Needs attention")
        assert "site-001: Lost its connection." in alerts.inner_text()
        assert "myofed site up" in alerts.inner_text()
        assert "The run goes on: 3 of 4 training sites answered last" in alerts.inner_text()
        row = page.get_by_role("row", name="site-001")
        assert "gone" in row.inner_text()
        red = alerts.locator(".what").first.evaluate("one => getComputedStyle(one).color")
        channels = [int(one) for one in red.removeprefix("rgb(").rstrip(")").split(",")]
        assert channels[0] > 2 * max(channels[1:]), "failures are red"
        page.get_by_text("What went wrong earlier").click()
        assert page.get_by_text("Did not answer in time.").is_visible()


def test_everything_is_there_by_keyboard(browser: Any, tmp_path: Path) -> None:
    troubled(tmp_path / "run")
    with dashboard_of(tmp_path / "run") as address, page_of(browser, address) as page:
        page.get_by_text("live", exact=True).wait_for()
        seen = []
        for _ in range(12):
            page.keyboard.press("Tab")
            seen.append(page.evaluate("document.activeElement.outerHTML.slice(0, 60)"))
            ring = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            on_page = page.evaluate("document.activeElement !== document.body")
            assert ring != "none" or not on_page, seen[-1]
        assert "skip" in seen[0]
        assert any("whose" in one for one in seen)
        numbers = page.get_by_text("The numbers as a table")
        numbers.focus()
        page.keyboard.press("Enter")
        assert page.get_by_role("table", name="The last rounds").is_visible()


def test_the_curves_of_one_site_are_shown_where_they_are_known(
    browser: Any, tmp_path: Path
) -> None:
    troubled(tmp_path / "run")
    with dashboard_of(tmp_path / "run") as address, page_of(browser, address) as page:
        page.get_by_text("live", exact=True).wait_for()
        assert page.locator("#plot-auc canvas").count() == 1
        with page.expect_response(lambda one: one.url.endswith("/sites/site-002")) as asked:
            page.locator("#whose").select_option("site-002")
        (curve,) = asked.value.json()
        assert curve["rounds"] == list(range(8))


def test_a_page_whose_dashboard_is_gone_says_so_and_finds_it_again(
    browser: Any, tmp_path: Path
) -> None:
    troubled(tmp_path / "run")
    with dashboard_of(tmp_path / "run") as address:
        page = browser.new_page()
        page.goto(address)
        page.get_by_text("live", exact=True).wait_for()
    page.get_by_text("the connection to the dashboard is lost").wait_for(timeout=5000)
    port = address.rstrip("/").rpartition(":")[2]
    with dashboard_of(tmp_path / "run", "--port", port):
        page.get_by_text("live", exact=True).wait_for(timeout=10000)
    page.close()


def test_a_hundred_sites_and_a_thousand_rounds_stay_smooth(browser: Any, tmp_path: Path) -> None:
    made = large_run(tmp_path / "run", now=time.time() - 5)
    with locked(tmp_path / "run" / "lock"), dashboard_of(tmp_path / "run") as address:
        paints = []
        for _ in range(5):
            with page_of(browser, address) as page:
                page.get_by_text("live", exact=True).wait_for()
                paints.append(
                    page.evaluate("performance.getEntriesByName('first-contentful-paint')[0]"
                                  ".startTime") / 1000.0
                )  # fmt: skip
        assert min(paints) < SECONDS_TO_PAINT, paints
        with page_of(browser, address) as page:
            page.get_by_text("live", exact=True).wait_for()
            page.evaluate("""() => {
                window.long = [];
                new PerformanceObserver((seen) => {
                    for (const one of seen.getEntries()) window.long.push(one.duration);
                }).observe({ type: "longtask" });
            }""")
            for number in (1000, 1001, 1002):
                made.now = time.time()
                made.round(0, number, seconds=0.5)
                page.get_by_text(f"fold 0, round {number}").first.wait_for()
            assert page.locator("tbody tr[role=row]").count() == 101
            long = page.evaluate("window.long")
            assert sum(long) / 3 < 250.0, f"tasks of {long} ms hold the page up"
            page.get_by_label("only with trouble").check()
            assert page.locator("tbody tr[role=row]:visible").count() <= 1
            page.get_by_label("only with trouble").uncheck()
            page.get_by_label("Find").fill("site-04")
            assert page.locator("tbody tr[role=row]:visible").count() == 10


def test_beyond_this_machine_it_is_tls_by_the_coordinators_own_authority(
    coordinator: Path,
) -> None:
    options = ("--host", "0.0.0.0", "--tls", "--token-file", str(_token(coordinator)))
    with dashboard_of(coordinator, *options) as address:
        assert address.startswith("https://")
        bearer = {"Authorization": f"Bearer {TOKEN}"}
        authority = ssl.create_default_context(cafile=str(coordinator / "ca.pem"))
        with httpx.Client(verify=authority) as visitor:
            assert visitor.get(f"{address}metrics").status_code == 401
            answer = visitor.get(f"{address}metrics", headers=bearer)
            assert answer.status_code == 200
            assert "myofed_run_state" in answer.text
        with pytest.raises(httpx.ConnectError, match="certificate verify failed"):
            httpx.get(f"{address}metrics", headers=bearer)
        with pytest.raises(httpx.RemoteProtocolError):
            httpx.get(f"{address.replace('https', 'http')}metrics")
