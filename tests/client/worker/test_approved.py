"""What a site approved: kept by content, signed, and refused when it is not what was approved."""

from __future__ import annotations

import hashlib
import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from client import approved as approved_module
from client.approval import Kind, write_statement
from client.approved import (
    ApprovalWithdrawn,
    approvals,
    approve,
    approved,
    approved_study,
    fingerprints,
    revoke,
)
from client.egress.ledger import LedgerDamaged
from client.identity_key import load_identity, make_identity
from common.errors import StudyError, StudyMismatch, WrongUse
from common.study import Study


def study_of(name: str) -> Study:
    sites = [{"name": "a", "role": "train"}]
    return Study.model_validate({"name": name, "sites": sites, "secure_sum": {"enabled": False}})


ONE, TWO = study_of("one"), study_of("two")


@pytest.fixture
def site(tmp_path: Path) -> Path:
    make_identity(tmp_path / "a")
    return tmp_path / "a"


def signed(site: Path, kind: Kind = Kind.APPROVAL) -> Path:
    """The file of a statement on ONE."""
    return site / "studies" / f"{ONE.fingerprint}.{kind.value}"


def write(path: Path, site: Path, kind: Kind = Kind.APPROVAL) -> None:
    """A statement on a study, from its file's name, as the site's command would write it."""
    write_statement(path, load_identity(site), kind, path.stem, datetime.now(UTC))


def test_what_was_approved_is_read_back(site: Path) -> None:
    assert approved(site) == {}
    paths = [approve(site, study) for study in (ONE, TWO, ONE)]
    assert paths[0] == paths[2] == site / "studies" / f"{ONE.fingerprint}.json"
    assert paths[0].read_text() == ONE.canonical()
    assert approved(site) == {study.fingerprint: study for study in (ONE, TWO)}
    assert approved_study(site, TWO.fingerprint) == TWO
    assert len(list((site / "studies").iterdir())) == 4


def test_nothing_is_approved_without_an_identity(tmp_path: Path, site: Path) -> None:
    with pytest.raises(WrongUse, match="has no identity key"):
        approve(tmp_path, ONE)
    assert not (tmp_path / "studies").exists()
    approve(site, ONE)
    (site / "identity.key").chmod(0o644)
    assert fingerprints(site) == []
    with pytest.raises(StudyMismatch, match="can be read by others") as refused:
        approved_study(site, ONE.fingerprint)
    assert refused.value.fix == f"chmod 600 {site / 'identity.key'}"
    (site / "identity.key").unlink()
    with pytest.raises(StudyMismatch, match="has no identity key"):
        approved_study(site, ONE.fingerprint)
    make_identity(site)
    with pytest.raises(StudyMismatch, match="not signed with this site's identity key"):
        approved_study(site, ONE.fingerprint)
    with pytest.raises(LedgerDamaged):
        approve(site, ONE)
    # A new identity begins a new ledger; the old one is kept elsewhere.
    (site / "ledger").rename(tmp_path / "old ledger")
    approve(site, ONE)
    assert approved_study(site, ONE.fingerprint) == ONE


@pytest.mark.parametrize("fingerprint", ["0" * 64, "", "../site", TWO.fingerprint])
def test_what_was_not_approved_is_refused_and_what_was_is_said(
    site: Path, fingerprint: str
) -> None:
    with pytest.raises(StudyMismatch, match="approved: none"):
        approved_study(site, fingerprint)
    approve(site, ONE)
    (site / "site.json").write_text("{}")
    with pytest.raises(StudyMismatch, match=f"approved: {ONE.fingerprint[:12]}"):
        approved_study(site, fingerprint)


def test_an_edited_file_is_refused_by_name_and_the_others_stand(site: Path) -> None:
    path = approve(site, ONE)
    approve(site, TWO)
    path.write_text(path.read_text().replace('"folds":1', '"folds":2'))
    for read in (lambda: approved(site), lambda: approved_study(site, ONE.fingerprint)):
        with pytest.raises(StudyError, match=f"{path.name} was changed after it was approved"):
            read()
    assert approved_study(site, TWO.fingerprint) == TWO


@pytest.mark.parametrize("content", ['{"name":"one"}', ONE.canonical() + " ", "[]", "\udcff"])
def test_a_file_of_another_release_is_refused_by_name(site: Path, content: str) -> None:
    data = content.encode(errors="surrogateescape")
    path = site / "studies" / f"{hashlib.sha256(data).hexdigest()}.json"
    path.parent.mkdir()
    path.write_bytes(data)
    write(path.with_suffix(".approval"), site)
    with pytest.raises(StudyError, match=f"{path.name} was approved with another release"):
        approved(site)


def test_a_file_that_is_no_approval_is_refused_by_name(site: Path) -> None:
    approve(site, ONE)
    (site / "studies" / "copy.json").write_text(ONE.canonical())
    with pytest.raises(StudyError, match=r"copy\.json is not an approval"):
        approved(site)


def test_a_study_without_its_approval_does_not_count(site: Path) -> None:
    path = approve(site, ONE)
    signed(site).unlink()
    with pytest.raises(StudyMismatch, match=f"{path.name} bears no approval"):
        approved_study(site, ONE.fingerprint)
    assert approved(site) == {}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"signature": "00" * 64}, "not signed"),
        ({"signature": "zz"}, "damaged"),
        ({"signature": ""}, "not signed"),
        ({"signature": 7}, "damaged"),
        ({"time": "2020-01-01T00:00:00.000000+00:00"}, "not signed"),
        ({"time": "2020-01-01T00:00:00"}, "damaged"),
        ({"time": 7}, "damaged"),
        ({"fingerprint": TWO.fingerprint}, "damaged"),
        ({"more": ""}, "damaged"),
    ],
)
def test_a_forged_or_damaged_approval_does_not_count(
    site: Path, change: dict[str, object], why: str
) -> None:
    approve(site, ONE)
    approve(site, TWO)
    held = json.loads(signed(site).read_text())
    signed(site).write_text(json.dumps(held | change))
    with pytest.raises(StudyMismatch, match=why) as refused:
        approved_study(site, ONE.fingerprint)
    assert "myofed site approve" in refused.value.fix
    assert fingerprints(site) == [TWO.fingerprint]
    approve(site, ONE)
    assert approved_study(site, ONE.fingerprint) == ONE


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"x"'])
def test_a_torn_approval_does_not_count(site: Path, text: str) -> None:
    approve(site, ONE)
    signed(site).write_text(text)
    with pytest.raises(StudyMismatch, match="damaged"):
        approved_study(site, ONE.fingerprint)


def test_an_approval_by_another_key_does_not_count(site: Path, tmp_path: Path) -> None:
    approve(site, ONE)
    stranger, now = Ed25519PrivateKey.generate(), datetime.now(UTC)
    write_statement(signed(site), stranger, Kind.APPROVAL, ONE.fingerprint, now)
    with pytest.raises(StudyMismatch, match="not signed with this site's identity key"):
        approved_study(site, ONE.fingerprint)
    # The public file is for people: to exchange it makes no approval.
    make_identity(tmp_path / "other")
    shutil.copy(tmp_path / "other" / "identity.pub", site / "identity.pub")
    write(tmp_path / f"{ONE.fingerprint}.approval", tmp_path / "other")
    shutil.copy(tmp_path / f"{ONE.fingerprint}.approval", signed(site))
    with pytest.raises(StudyMismatch, match="not signed with this site's identity key"):
        approved_study(site, ONE.fingerprint)


def test_one_statement_is_not_taken_for_the_other(site: Path) -> None:
    """Who approved a study has not withdrawn it, nor the other way round."""
    approve(site, ONE)
    revoke(site, ONE.fingerprint)
    shutil.copy(signed(site, Kind.REVOCATION), signed(site))
    signed(site, Kind.REVOCATION).unlink()
    with pytest.raises(StudyMismatch, match="not signed"):
        approved_study(site, ONE.fingerprint)


def test_an_approval_that_was_withdrawn_cannot_be_put_back(site: Path) -> None:
    approve(site, ONE)
    approve(site, TWO)
    old = signed(site).read_bytes()
    assert revoke(site, ONE.fingerprint)
    assert not revoke(site, ONE.fingerprint)
    for put_back in (False, True):
        if put_back:
            signed(site).write_bytes(old)
        with pytest.raises(ApprovalWithdrawn, match="withdrew its approval"):
            approved_study(site, ONE.fingerprint)
        assert approved(site) == {TWO.fingerprint: TWO}
    assert "withdrawn" in ApprovalWithdrawn.public


def test_approving_anew_supersedes_and_can_be_withdrawn_again(site: Path) -> None:
    approve(site, ONE)
    old = signed(site).read_bytes()
    for _ in range(3):
        assert revoke(site, ONE.fingerprint)
        approve(site, ONE)
        assert approved_study(site, ONE.fingerprint) == ONE
    assert revoke(site, ONE.fingerprint)
    signed(site).write_bytes(old)
    with pytest.raises(ApprovalWithdrawn):
        approved_study(site, ONE.fingerprint)


def test_a_clock_that_is_set_back_opens_no_gap(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start = datetime.now(UTC)

    def set_clock(hours: int) -> None:
        class Clock(datetime):
            @classmethod
            def now(cls, tz: object = None) -> datetime:
                return start + timedelta(hours=hours)

        monkeypatch.setattr(approved_module, "datetime", Clock)

    set_clock(5)
    approve(site, ONE)
    old = signed(site).read_bytes()
    set_clock(1)
    revoke(site, ONE.fingerprint)
    signed(site).write_bytes(old)
    with pytest.raises(ApprovalWithdrawn):
        approved_study(site, ONE.fingerprint)
    approve(site, ONE)
    assert approved_study(site, ONE.fingerprint) == ONE
    set_clock(0)
    revoke(site, ONE.fingerprint)
    with pytest.raises(ApprovalWithdrawn):
        approved_study(site, ONE.fingerprint)


def test_a_spoilt_withdrawal_opens_nothing(site: Path) -> None:
    approve(site, ONE)
    old = signed(site).read_bytes()
    revoke(site, ONE.fingerprint)
    gone = signed(site, Kind.REVOCATION)
    gone.write_text(gone.read_text().replace('"time": "2', '"time": "1'))
    signed(site).write_bytes(old)
    with pytest.raises(StudyMismatch, match=r"revoked is not signed"):
        approved_study(site, ONE.fingerprint)
    approve(site, ONE)
    assert approved_study(site, ONE.fingerprint) == ONE
    assert revoke(site, ONE.fingerprint)
    assert approved(site) == {}


def test_what_was_never_here_cannot_be_withdrawn(site: Path) -> None:
    with pytest.raises(WrongUse, match="has no study"):
        revoke(site, ONE.fingerprint)
    assert not (site / "studies").exists()


def test_the_list_says_how_each_study_stands(site: Path) -> None:
    assert approvals(site) == []
    for study in (ONE, TWO):
        approve(site, study)
    revoke(site, TWO.fingerprint)
    three = study_of("three")
    path = site / "studies" / f"{three.fingerprint}.json"
    path.write_text(three.canonical())
    found = {standing.name: standing for standing in approvals(site)}
    assert set(found) == {"one", "two", "three"}
    assert found["one"].problem is None
    assert found["one"].since is not None
    assert found["one"].since.tzinfo is UTC
    assert isinstance(found["two"].problem, ApprovalWithdrawn)
    assert found["two"].since is not None
    assert "bears no approval" in str(found["three"].problem)
    assert found["three"].since is None
    path.write_text("{}")
    assert "" in {standing.name for standing in approvals(site)}
