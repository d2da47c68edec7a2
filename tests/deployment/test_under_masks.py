"""Secure summation over real processes: a site is lost in mid-run, comes back, and lies."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from conftest import study_text
from consortium import Consortium, until

from client.cohort.importers import import_table
from client.cohort.rows import load_rows
from client.cohort.site_folder import SiteFolder
from client.egress.reading import lines_of
from client.egress.verify import examine
from client.identity_key import PUBLIC_FILE
from client.phantoms.consortium import DEFAULT, make_consortium
from common.identity import identity_bytes
from common.study_file import parse_study

pytestmark = [pytest.mark.slow, pytest.mark.soak]

LONG = 400.0
ROUNDS = 8
EXTERNAL = "dorpat"
SITES = (*DEFAULT, replace(DEFAULT[0], name="evora"))
"""Four hospitals that train, and dorpat."""

THREE_OF_FOUR = """
[secure_sum]
set_changes = 8
[quorum]
min_sites = 3
[quorum.deadline_seconds]
train = 25.0
fuse = 60.0
calibrate = 60.0
"""


@pytest.fixture(scope="module")
def consortium() -> Iterator[Consortium]:
    root = Path(tempfile.mkdtemp(prefix="mf-"))
    roster = "".join(f'[[sites]]\nname = "{one.name}"\nrole = "train"\n' for one in SITES)
    study = parse_study(study_text() + roster)
    folders = {}
    for table in make_consortium(root / "phantoms", 3, 8, SITES, slices=2):
        name = table.parent.name
        folders[name] = root / "sites" / name
        import_table(
            table, folders[name], name=name, positive="scar", negative="none", myocardium=2
        )
        load_rows(SiteFolder.open(folders[name]), study, external=name == EXTERNAL, workers=2)
    text = study_text(tables=THREE_OF_FOUR, rounds=ROUNDS)
    made = Consortium(root, text, folders, EXTERNAL)
    try:
        made.found()
        made.start()
        yield made
    finally:
        made.stop_all()
        shutil.rmtree(root, ignore_errors=True)


@pytest.fixture(scope="module")
def run(consortium: Consortium) -> str:
    """A run in which bergamo is stopped in training, and comes back later."""
    identity = consortium.submit()
    until(lambda: consortium.reached(identity, "train", number=2), LONG, "the second round")
    consortium.stop("bergamo")
    until(lambda: "bergamo" in missing(consortium, identity), LONG, "a round without bergamo")
    consortium.start_site("bergamo")
    is_back = partial(consortium.says_connected, "bergamo")
    consortium.hold_up("evora", is_back, LONG, "bergamo is back")
    assert consortium.outcome(identity, LONG)["event"] == "finished"
    return identity


def missing(consortium: Consortium, identity: str) -> dict[str, str]:
    """Who was missing from any round of training, and why."""
    found: dict[str, str] = {}
    for event in consortium.events(identity):
        if event["event"] == "asked" and event["stage"] == "train":
            found |= event["failures"]
    return found


def test_the_run_goes_on_without_a_lost_site_and_takes_it_back(
    consortium: Consortium, run: str
) -> None:
    held = json.loads((consortium.run_folder(run) / "sets.json").read_text(encoding="utf-8"))
    sets = {at: [tuple(one) for one in asked] for at, asked in held["questions"].items()}
    every = tuple(one.name for one in SITES if one.name != EXTERNAL)
    without = tuple(name for name in every if name != "bergamo")
    assert sets["harmonize.features"] == [every]
    # One round was asked twice: of all, and of those that were left.
    assert [every, without] in [asked for at, asked in sets.items() if at.startswith("train")]
    assert sets["calibrate"] == [every]
    assert 1 <= held["changes"] <= 3
    assert list(missing(consortium, run)) == ["bergamo"]


def test_each_site_has_a_whole_ledger_of_what_it_sent(consortium: Consortium, run: str) -> None:
    for name, folder in consortium.sites.items():
        public = (folder / PUBLIC_FILE).read_text(encoding="ascii").strip()
        assert not examine(folder, identity_bytes(public)).faults, name
        lines = [line for line in lines_of(folder, run) if line.kind == "answer"]
        rules = {line.rule for line in lines if line.stage != "enrol"}
        if name == EXTERNAL:
            assert rules == {"validate/scores"}
        else:
            assert all(rule.endswith("/masked") for rule in rules), rules
            assert {"train/masked", "fuse/moments/masked", "calibrate/masked"} <= rules


def test_a_withdrawn_approval_ends_the_part_of_a_site_at_the_next_question(
    consortium: Consortium, run: str
) -> None:
    identity = consortium.submit()
    until(lambda: consortium.reached(identity, "train", number=1), LONG, "the first round")
    # Halted, so that the rounds are not over before the command is.
    with consortium.halted("evora"):
        consortium.command("site", "revoke", consortium.sites["evora"], consortium.study)
    assert consortium.outcome(identity, LONG)["event"] == "finished"
    told = missing(consortium, identity)
    assert list(told) == ["evora"]
    assert "approval-withdrawn" in told["evora"]
    results = json.loads((consortium.run_folder(identity) / "results.json").read_text("utf-8"))
    assert EXTERNAL in results["external"]
