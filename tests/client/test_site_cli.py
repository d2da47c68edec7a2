"""`myofed site init`, `join` and `doctor`: what they write, what they refuse, what they say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_ssh_private_key
from loopback_tls import Authority
from site_commands import caller, invite, make_cohort, make_study

from client.approved import approved
from client.cohort.site_folder import SITE_FILE, SiteFolder, new_site_folder
from client.identity_key import make_identity
from client.rooms import NodeRoom
from common.errors import CohortError
from common.files import write_json
from common.identity import Invitation, JoinRequest, fingerprint, line_fingerprint
from common.study import Study


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    return caller(monkeypatch, capsys)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def test_init_makes_a_key_that_stays_and_a_request_that_goes(run: Any, tmp_path: Path) -> None:
    site = tmp_path / "sites" / "tufts"
    make_cohort(site)
    outcome = run("init", site)
    assert outcome.code == 0
    room = NodeRoom.of(site)
    assert room.key.stat().st_mode & 0o777 == 0o600
    assert room.path.stat().st_mode & 0o777 == 0o700
    private = load_ssh_private_key(room.key.read_bytes(), None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    request = JoinRequest.load(site / "tufts.join.json")
    assert request.name == "tufts"
    assert f"node key: {fingerprint(request.public_key)}" in outcome.out
    assert f"identity: {line_fingerprint(request.identity)}" in outcome.out
    identity = site / "identity.key"
    assert identity.stat().st_mode & 0o777 == 0o600
    assert request.identity == make_identity(site) == (site / "identity.pub").read_text().strip()
    keys = (room.key, identity)
    lines = [line for key in keys for line in key.read_text().splitlines()[1:-1]]
    files = [path for path in site.rglob("*") if path.is_file() and path not in keys]
    assert not [line for line in lines for path in files if line in path.read_text()]
    assert not [line for line in lines if line in outcome.out + outcome.err]
    assert "no cohort" not in outcome.out


def test_init_again_keeps_the_key_and_writes_the_request_anew(run: Any, tmp_path: Path) -> None:
    site = tmp_path / "tufts"
    assert run("init", site, "--name", "tufts").code == 0
    keys = (NodeRoom.of(site).key, site / "identity.key")
    before = [key.read_bytes() for key in keys]
    request = JoinRequest.load(site / "tufts.join.json")
    (site / "tufts.join.json").unlink()
    outcome = run("init", site, "--name", "tufts", "--request", tmp_path / "mine.json")
    assert outcome.code == 0
    assert outcome.out.count("is kept") == 2
    assert [key.read_bytes() for key in keys] == before
    again = JoinRequest.load(tmp_path / "mine.json")
    assert (again.public_key, again.identity) == (request.public_key, request.identity)
    keys[1].unlink()
    outcome = run("init", site, "--name", "tufts")
    assert outcome.out.count("is kept") == 1
    assert JoinRequest.load(site / "tufts.join.json").identity != request.identity
    assert keys[0].read_bytes() == before[0]


def test_init_refuses_an_identity_that_cannot_be_used(run: Any, tmp_path: Path) -> None:
    site = tmp_path / "tufts"
    assert run("init", site, "--name", "tufts").code == 0
    (site / "tufts.join.json").unlink()
    (site / "identity.key").chmod(0o644)
    outcome = run("init", site, "--name", "tufts")
    assert (outcome.code, "chmod 600" in outcome.err) == (2, True)
    assert not (site / "tufts.join.json").exists()


def die_importing(site: Path) -> None:
    with new_site_folder(site) as work:
        (work / "images").mkdir()
        raise ValueError("died")


def test_the_cohort_may_come_after_the_key(run: Any, tmp_path: Path, authority: Authority) -> None:
    site = tmp_path / "tufts"
    outcome = run("init", site, "--name", "tufts")
    assert outcome.code == 0
    assert "There is no cohort" in outcome.out
    assert run("join", site, invite(tmp_path / "i.json", authority, make_study())).code == 0
    (site / ".partial-1").mkdir()
    assert (site / "ledger").is_dir()
    before = NodeRoom.of(site).key.read_bytes()
    with pytest.raises(ValueError, match="died"):
        die_importing(site)
    assert not (site / "images").exists()
    make_cohort(site)
    assert SiteFolder.open(site).name == "tufts"
    assert NodeRoom.of(site).key.read_bytes() == before
    with pytest.raises(CohortError, match="holds a site folder"):
        make_cohort(site)
    assert run("init", site).code == 0


def test_a_cohort_is_never_put_beside_something_else(tmp_path: Path) -> None:
    for name in ("images", "node", "ledger"):
        site = tmp_path / name
        site.mkdir()
        (site / name).write_text("a file")
        with pytest.raises(CohortError, match="holds something else"):
            make_cohort(site)
        assert [path.name for path in site.iterdir()] == [name]
    site = tmp_path / "folder"
    (site / "identity.key").mkdir(parents=True)
    with pytest.raises(CohortError, match="holds something else"):
        make_cohort(site)


def test_init_refuses_what_cannot_work(run: Any, tmp_path: Path) -> None:
    site = tmp_path / "tufts"
    make_cohort(site)
    other = run("init", site, "--name", "mayo")
    assert other.code == 2
    assert "is of the site tufts, not of mayo" in other.err
    assert not (site / "node").exists()
    assert run("init", site).code == 0
    (site / SITE_FILE).unlink()
    (site / "cohort.csv").unlink()
    renamed = run("init", site, "--name", "mayo")
    assert (renamed.code, "the key of the site tufts" in renamed.err) == (2, True)
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "cat.jpg").write_text("")
    strange = run("init", photos, "--name", "tufts")
    assert (strange.code, "holds something else (cat.jpg)" in strange.err) == (2, True)
    assert run("init", photos / "cat.jpg", "--name", "tufts").code == 2
    assert "has no name yet" in run("init", tmp_path / "new").err
    assert "cannot be a site's name" in run("init", tmp_path / "new", "--name", "Tufts!").err
    assert not (tmp_path / "new").exists()


def test_join_shows_what_to_compare_and_approves_the_study(
    run: Any, tmp_path: Path, authority: Authority
) -> None:
    site, study = tmp_path / "tufts", make_study()
    make_cohort(site)
    run("init", site)
    outcome = run("join", site, invite(tmp_path / "invitation.json", authority, study))
    assert outcome.code == 0, outcome.err
    for shown in (authority.fingerprint, study.fingerprint, "tiny", "c.org:9092", "role: train",
                  "What will run", "What will leave", "Secure summation is off"):  # fmt: skip
        assert shown in outcome.out
    room = NodeRoom.of(site)
    assert room.ca.read_text() == authority.ca.read_text()
    settings = room.joined()
    assert (settings.site, settings.coordinator) == ("tufts", "c.org:9092")
    assert approved(site) == {study.fingerprint: study}


def test_joining_again_adds_a_study_and_brings_a_new_address(
    run: Any, tmp_path: Path, authority: Authority
) -> None:
    site, path = tmp_path / "tufts", tmp_path / "invitation.json"
    run("init", site, "--name", "tufts")
    first, second = make_study(), make_study(study="newer", seed=3)
    options = ("--coordinator-health", "c.org:9093", "--health", "127.0.0.1:9099")
    assert run("join", site, invite(path, authority, first), *options).code == 0
    again = run("join", site, invite(path, authority, second, "d.org:1"))
    assert again.code == 0
    assert "has approved 2 studies" in again.out
    assert set(approved(site)) == {first.fingerprint, second.fingerprint}
    settings = NodeRoom.of(site).joined()
    assert settings.coordinator == "d.org:1"
    assert settings.coordinator_health == "c.org:9093"
    assert settings.health == "127.0.0.1:9099"


def test_to_join_is_possible_without_approving(
    run: Any, tmp_path: Path, authority: Authority
) -> None:
    site, study = tmp_path / "tufts", make_study()
    run("init", site, "--name", "tufts")
    invitation = invite(tmp_path / "invitation.json", authority, study)
    outcome = run("join", site, invitation, "--no-approve")
    assert outcome.code == 0
    assert "has approved 0 studies" in outcome.out
    assert f"myofed site approve {site} {invitation}" in outcome.out
    assert NodeRoom.of(site).joined().coordinator == "c.org:9092"
    assert approved(site) == {}
    assert run("approve", site, invitation, "--yes").code == 0
    assert approved(site) == {study.fingerprint: study}


def test_join_refuses_a_study_with_anothers_key_or_none(
    run: Any, tmp_path: Path, authority: Authority
) -> None:
    site, path = tmp_path / "tufts", tmp_path / "invitation.json"
    run("init", site, "--name", "tufts")
    own, other = make_identity(site), make_identity(tmp_path / "other")
    names = ("tufts", "mayo", "ucl")

    def study(key: str, on: bool) -> Study:
        sites = [{"name": name, "role": "train"} for name in names]
        sites[0]["key"] = key
        return make_study(sites=sites, secure_sum={"enabled": on})

    for refused in (study(other, True), study(other, False), study("", True)):
        for options in ((), ("--no-approve",)):
            outcome = run("join", site, invite(path, authority, refused), *options)
            assert outcome.code == 2
            assert "key for tufts" in outcome.err or "key of tufts" in outcome.err
        assert not NodeRoom.of(site).ca.exists()
        assert approved(site) == {}
    for good in (study(own, True), study("", False), study(own, False)):
        assert run("join", site, invite(path, authority, good)).code == 0
        assert good.fingerprint in approved(site)


def test_another_coordinator_is_refused_unless_it_is_meant(
    run: Any, tmp_path: Path, authority: Authority
) -> None:
    site, path = tmp_path / "tufts", tmp_path / "invitation.json"
    run("init", site, "--name", "tufts")
    run("join", site, invite(path, authority, make_study()))
    other = Authority(tmp_path / "other")
    refused = run("join", site, invite(path, other, make_study(study="new")))
    assert refused.code == 2
    assert authority.fingerprint in refused.err
    assert other.fingerprint in refused.err
    assert "--replace" in refused.err
    assert NodeRoom.of(site).ca.read_text() == authority.ca.read_text()
    assert len(approved(site)) == 1
    NodeRoom.of(site).number.write_text("{}")
    meant = run("join", site, path, "--replace")
    assert meant.code == 0
    assert "no longer trusted" in meant.out
    assert NodeRoom.of(site).ca.read_text() == other.ca.read_text()
    assert not NodeRoom.of(site).number.exists()


def test_join_refuses_what_is_not_for_this_site(
    run: Any, tmp_path: Path, authority: Authority
) -> None:
    site, path = tmp_path / "tufts", tmp_path / "invitation.json"
    missing = run("join", site, invite(path, authority, make_study()))
    assert (missing.code, "site init" in missing.err) == (2, True)
    run("init", site, "--name", "tufts")
    absent = run("join", site, invite(path, authority, make_study("mayo", "ucl")))
    assert absent.code == 2
    assert "has no site tufts; its roster is: mayo, ucl" in absent.err
    bad = run("join", site, invite(path, authority, make_study(), "nowhere"))
    assert (bad.code, "host:port" in bad.err) == (2, True)
    health = run(
        "join", site, invite(path, authority, make_study()), "--coordinator-health", "nowhere"
    )
    assert (health.code, "host:port" in health.err) == (2, True)
    content = json.loads(invite(path, authority, make_study()).read_text())
    write_json(path, content | {"study_fingerprint": "0" * 64})
    changed = run("join", site, path)
    assert (changed.code, "does not have its fingerprint" in changed.err) == (2, True)
    room = NodeRoom.of(site)
    assert not room.ca.exists()
    assert room.settings().coordinator == ""
    assert approved(site) == {}


def test_a_study_of_another_release_is_refused(
    run: Any, tmp_path: Path, authority: Authority
) -> None:
    import hashlib

    site, path = tmp_path / "tufts", tmp_path / "invitation.json"
    run("init", site, "--name", "tufts")
    held = json.loads(make_study().canonical())
    for content in (held | {"later": 1}, {key: held[key] for key in held if key != "seed"}):
        text = json.dumps(content, sort_keys=True, separators=(",", ":"))
        found = hashlib.sha256(text.encode()).hexdigest()
        Invitation("c.org:1", authority.ca.read_text(), authority.fingerprint, text, found).save(
            path
        )
        outcome = run("join", site, path)
        assert outcome.code == 1
        assert "this release of MyoFed" in outcome.err
        assert approved(site) == {}


def test_up_says_what_is_missing(run: Any, tmp_path: Path) -> None:
    site = tmp_path / "tufts"
    make_cohort(site)
    unjoined = run("up", site)
    assert (unjoined.code, "site init" in unjoined.err) == (2, True)
    run("init", site)
    unjoined = run("up", site, "--only", "node")
    assert (unjoined.code, "has not joined a coordinator yet" in unjoined.err) == (2, True)
    assert run("up", tmp_path / "none", "--only", "worker").code == 1
    assert "There is no 'both'" in run("up", site, "--only", "both").err
    long = run("up", site, "--link", tmp_path / ("x" * 120))
    assert (long.code, "--link" in long.err) == (1, True)


def test_doctor_ends_with_the_worst(run: Any, tmp_path: Path) -> None:
    site = tmp_path / "tufts"
    outcome = run("doctor", site, "--only", "node")
    assert outcome.code == 1
    assert "FAIL" in outcome.out
    assert "myofed site init" in outcome.out
    listed = run("doctor", site, "--only", "node", "--json")
    assert listed.code == 1
    checks = json.loads(listed.out)
    assert {"check", "verdict", "found", "fix"} == set(checks[0])
    assert {check["verdict"] for check in checks} <= {"PASS", "WARN", "FAIL"}


def test_doctor_is_content_with_a_warning(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from common.check import passed, warned

    found = [passed("clock", "It is [right]."), warned("disk", "It is small.", "Make room.")]
    monkeypatch.setattr("client.doctor.plan.examine_site", lambda *_, **__: found)
    outcome = run("doctor", "x")
    assert outcome.code == 0
    for words in ("It is [right].", "WARN", "Make room.", "1 PASS, 1 WARN, 0 FAIL"):
        assert words in outcome.out
