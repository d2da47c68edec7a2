"""`myofed site init`, `join` and `doctor`: what they write, what they refuse, what they say."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_ssh_private_key
from loopback_tls import Authority

import myofed
from client.approved import approved
from client.cohort.site_folder import SITE_FILE, SiteFolder, new_site_folder
from client.rooms import NodeRoom
from common.errors import CohortError
from common.files import write_json
from common.identity import Invitation, JoinRequest, fingerprint
from common.study import Study


def make_study(*names: str, study: str = "tiny", **content: Any) -> Study:
    sites = [{"name": name, "role": "train"} for name in names or ("tufts",)]
    return Study.model_validate({"name": study, "sites": sites} | content)


def make_cohort(path: Path, name: str = "tufts") -> None:
    """A site folder as importers make it, with an empty table."""
    SiteFolder.create(
        path, [], name=name, source="test", myocardium=2, positive="scar", negative="none"
    )


class Outcome:
    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, " ".join(out.split()), " ".join(err.split())


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    def call(*arguments: str | Path) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["myofed", "site", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            myofed.main()
        printed = capsys.readouterr()
        assert isinstance(left.value.code, int)
        assert "Traceback" not in printed.err + printed.out
        return Outcome(left.value.code, printed.out, printed.err)

    return call


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def invite(path: Path, authority: Authority, study: Study, address: str = "c.org:9092") -> Path:
    Invitation(
        address, authority.ca.read_text(), authority.fingerprint, study.canonical(),
        study.fingerprint,
    ).save(path)  # fmt: skip
    return path


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
    assert fingerprint(request.public_key) in outcome.out
    lines = room.key.read_text().splitlines()[1:-1]
    files = [path for path in site.rglob("*") if path.is_file() and path != room.key]
    assert not [line for line in lines for path in files if line in path.read_text()]
    assert not [line for line in lines if line in outcome.out + outcome.err]
    assert "no cohort" not in outcome.out


def test_init_again_keeps_the_key_and_writes_the_request_anew(run: Any, tmp_path: Path) -> None:
    site = tmp_path / "tufts"
    assert run("init", site, "--name", "tufts").code == 0
    before = NodeRoom.of(site).key.read_bytes()
    (site / "tufts.join.json").unlink()
    outcome = run("init", site, "--name", "tufts", "--request", tmp_path / "mine.json")
    assert outcome.code == 0
    assert "is kept" in outcome.out
    assert NodeRoom.of(site).key.read_bytes() == before
    assert JoinRequest.load(tmp_path / "mine.json").name == "tufts"


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
    for name in ("images", "node"):
        site = tmp_path / name
        site.mkdir()
        (site / name).write_text("a file")
        with pytest.raises(CohortError, match="holds something else"):
            make_cohort(site)
        assert [path.name for path in site.iterdir()] == [name]


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
    for shown in (authority.fingerprint, study.fingerprint, "tiny", "c.org:9092", "role: train"):
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
