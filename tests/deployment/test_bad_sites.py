"""Sites that lie, come late or never, and strangers: the run goes on, and says so."""

from __future__ import annotations

import ssl
import threading
import urllib.error
import urllib.request

import pytest
from conftest import Build
from consortium import Consortium, until

pytestmark = [pytest.mark.slow, pytest.mark.soak]

LONG = 400.0
TWO_OF_THREE = """
[secure_sum]
enabled = false
[quorum]
min_sites = 2
[quorum.deadline_seconds]
enrol = 20.0
train = 30.0
"""
LIES = {
    "nan": "not finite",
    "infinite": "not finite",
    "huge": "moved further than so many steps",
    "tiny": "robust deviations",
    "short": "has the shape",
    "double": "is float64, not float32",
    "negative": "its number of slices is not a whole number",
    "many": "its number of slices is not a whole number",
    "slow": "did not answer in time",
}


def start_liar(consortium: Consortium, site: str, kinds: list[str]) -> None:
    """Bring a site up whose worker lies."""
    link = consortium.folder / f"l-{site}"
    consortium.start_site(site, "--only", "node")
    consortium.start_script(
        "liar", "lying_worker.py", consortium.sites[site], link, ",".join(kinds)
    )


@pytest.fixture(scope="module")
def run(build: Build) -> tuple[Consortium, str]:
    """A run of which one site lies in each round, another way each time, and strangers knock."""
    kinds = ["honest", *LIES, *["honest"] * 8]
    tables = TWO_OF_THREE
    consortium = build(extra="", tables=tables, rounds=len(kinds))
    consortium.start_coordinator()
    for name in ("aldgate", "coimbra", "dorpat"):
        consortium.start_site(name)
    start_liar(consortium, "bergamo", kinds)
    until(lambda: consortium.online() == set(consortium.sites), 120.0, "all sites are online")
    identity = consortium.submit()
    until(lambda: consortium.reached(identity, "train", number=1), LONG, "the first round")
    knock(consortium)
    assert consortium.outcome(identity, LONG)["event"] == "finished"
    return consortium, identity


def knock(consortium: Consortium) -> None:
    """Twenty strangers with no or wrong credentials, all at once; each must be refused."""
    context = ssl.create_default_context(cafile=str(consortium.coord / "ca.pem"))
    base = f"https://localhost:{consortium.port}"
    paths = ("/v1/fleet/pull-messages", "/v1/control/start-run", "/v1/fleet/register-node", "/docs")
    refused: list[int] = []

    def one(number: int) -> None:
        headers = {"content-type": "application/protobuf"}
        if number % 2:
            headers |= {"x-myofed-control": "0" * 64, "flwr-public-key": "bm9uZQ=="}
        asked = urllib.request.Request(base + paths[number % 4], b"", headers, method="POST")
        try:
            urllib.request.urlopen(asked, timeout=30, context=context)
        except urllib.error.HTTPError as error:
            refused.append(error.code)

    strangers = [threading.Thread(target=one, args=(number,)) for number in range(20)]
    for stranger in strangers:
        stranger.start()
    for stranger in strangers:
        stranger.join()
    assert len(refused) == 20
    assert set(refused) <= {401, 403, 404, 412}


@pytest.mark.parametrize("kind", LIES)
def test_a_lie_is_left_out_of_its_round_and_named(run: tuple[Consortium, str], kind: str) -> None:
    consortium, identity = run
    rounds = {
        event["round"]: event["failures"]
        for event in consortium.events(identity)
        if event["event"] == "asked" and event["stage"] == "train"
    }
    number = 2 + list(LIES).index(kind)
    assert list(rounds[number]) == ["bergamo"]
    assert LIES[kind] in rounds[number]["bergamo"]


def test_the_site_is_taken_back_when_it_answers_well(run: tuple[Consortium, str]) -> None:
    consortium, identity = run
    asked = [event for event in consortium.events(identity) if event["event"] == "asked"]
    assert asked[-1]["failures"] == {}
    moments = [event for event in asked if event.get("step") == "moments"]
    assert moments[0]["failures"] == {}
    assert "bergamo" in moments[0]["sites"]


def test_strangers_are_in_the_log_and_their_secrets_are_not(run: tuple[Consortium, str]) -> None:
    consortium, _ = run
    log = "".join(path.read_text() for path in (consortium.coord / "logs").glob("superlink*"))
    assert "was refused" in log
    assert "0" * 64 not in log
    token = next((consortium.coord / "secrets").glob("*token*")).read_text()
    assert token.strip() not in log


def test_a_site_that_never_comes_is_named_and_the_run_goes_on(
    run: tuple[Consortium, str],
) -> None:
    consortium, _ = run
    for name in ("liar", "bergamo", "aldgate"):
        consortium.stop(name)
    consortium.start_site("bergamo")
    there = {"bergamo", "coimbra", "dorpat"}
    until(lambda: consortium.online() == there, 90.0, "bergamo is honest and aldgate is gone")
    identity = consortium.submit()
    assert consortium.outcome(identity, LONG)["event"] == "finished"
    asked = [event for event in consortium.events(identity) if event["event"] == "asked"]
    assert asked[0]["failures"] == {"aldgate": "is not connected"}
    assert all("aldgate" not in event["sites"] for event in asked[1:])


def test_a_site_with_other_software_is_named_with_the_difference_and_left_out(
    run: tuple[Consortium, str],
) -> None:
    consortium, _ = run
    consortium.start_site("aldgate")
    consortium.stop("bergamo")
    start_liar(consortium, "bergamo", ["versions"])
    everybody = set(consortium.sites)
    until(lambda: consortium.online() == everybody, 90.0, "bergamo runs another torch")
    identity = consortium.submit()
    assert consortium.outcome(identity, LONG)["event"] == "finished"
    asked = [event for event in consortium.events(identity) if event["event"] == "asked"]
    assert list(asked[0]["failures"]) == ["bergamo"]
    assert "it runs torch 1.0.0, the others 2." in asked[0]["failures"]["bergamo"]
    assert all("bergamo" not in event["sites"] for event in asked[1:])
    for name in ("liar", "bergamo"):
        consortium.stop(name)
    consortium.start_site("bergamo")
    until(lambda: consortium.online() == everybody, 90.0, "bergamo is honest again")


def test_a_study_that_was_changed_is_refused_by_every_site(run: tuple[Consortium, str]) -> None:
    consortium, _ = run
    before = consortium.study.read_text(encoding="utf-8")
    consortium.study.write_text(before.replace("seed = 5", "seed = 6"), encoding="utf-8")
    identity = consortium.submit()
    end = consortium.outcome(identity, LONG)
    assert end["event"] == "failed"
    for name in ("bergamo", "coimbra", "dorpat"):
        assert f"{name}: The site holds another study, recipe or version" in end["what"]
