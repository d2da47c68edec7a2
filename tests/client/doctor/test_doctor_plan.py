"""The checks of software, disk and data, and an examination as a whole."""

from __future__ import annotations

import csv
import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from loopback_tls import Authority, https_server

from client.approved import approve, revoke
from client.cohort.importers import import_table
from client.doctor import disk, radiomics, versions
from client.doctor.cohort import cohort_check
from client.doctor.disk import disk_check, key_check
from client.doctor.identity import identity_check
from client.doctor.plan import examine_site
from client.doctor.radiomics import radiomics_check
from client.doctor.versions import studies_check, versions_check
from client.identity_key import make_identity
from client.rooms import NodeRoom, NodeSettings
from common.check import Check, Task, Verdict, examine, passed, warned, worst
from common.identity import fingerprint, line_fingerprint, make_key
from common.study import Study

PATIENTS = ("Smith", "Jones", "Okafor", "Garcia", "Novak", "Tanaka", "Silva", "Meyer", "Kim", "Roy")
PASS, WARN, FAIL = Verdict.PASS, Verdict.WARN, Verdict.FAIL
STUDY = Study.model_validate(
    {
        "name": "tiny",
        "sites": [{"name": "tufts", "role": "train"}],
        "cohort": {"minimum_patients_per_class": 2},
        "secure_sum": {"enabled": False},
    }
)


def check_is(check: Check, verdict: Verdict, *words: str) -> None:
    assert check.verdict is verdict, check
    for word in words:
        assert word in f"{check.found} {check.fix}", check


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A site of ten patients, one slice each."""
    source = tmp_path / "source"
    source.mkdir()
    y, x = np.mgrid[:48, :48]
    away = np.hypot(y - 24, x - 24)
    mask = np.where(away < 7, 1, np.where(away < 12, 2, 0)).astype(np.uint8)[None]
    rows = []
    for number, patient in enumerate(PATIENTS):
        noise = np.random.default_rng(number).normal(0, 5, mask.shape)
        for name, array in (("", np.choose(mask, [60, 200, 90]) + noise), ("_gt", mask)):
            image: Any = sitk.GetImageFromArray(array.astype(np.float32 if not name else np.uint8))
            image.SetSpacing((1.4, 1.4, 8.0))
            sitk.WriteImage(image, str(source / f"{patient}{name}.nii.gz"))
        row = {"patient_id": patient, "image": f"{patient}.nii.gz", "phase": "ED"}
        row |= {"mask": f"{patient}_gt.nii.gz", "label": ("none", "scar")[number % 2]}
        rows.append(row)
    with (source / "cohort.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    path = tmp_path / "sites" / "tufts"
    import_table(
        source / "cohort.csv", path, name="tufts", positive="scar", negative="none", myocardium=2
    )
    return path


def test_every_check_is_made_whatever_the_others_do() -> None:
    told: list[str] = []

    def breaks() -> Check:
        raise KeyError("secret")

    hang = threading.Event()

    def hangs() -> Check:
        hang.wait(30)
        return passed("slow", "too late")

    begun = time.monotonic()
    checks = examine(
        [
            Task("broken", breaks),
            Task("slow", hangs, 0.2),
            Task("good", lambda: passed("good", "all is well")),
        ],
        lambda check: told.append(check.name),
    )
    hang.set()
    assert time.monotonic() - begun < 5
    assert told == ["broken", "slow", "good"]
    assert [check.verdict for check in checks] == [FAIL, FAIL, PASS]
    assert "KeyError" in checks[0].found
    assert "no result within 0 seconds" in checks[1].found


def test_the_worst_counts() -> None:
    good, odd = passed("a", "b"), warned("a", "b", "c")
    assert worst([]) is PASS
    assert worst([good, odd, good]) is WARN
    assert worst([odd, Check("a", FAIL, "b", "c"), good]) is FAIL


def test_software(monkeypatch: pytest.MonkeyPatch) -> None:
    check_is(versions_check(), PASS, "flwr 1.41", "python 3.11")
    monkeypatch.setattr("client.node.pace.differences", lambda: ["flwr is 1.42.0, not 1.41.x"])
    check_is(versions_check(), WARN, "Flower's own pace", "constraints.txt")
    asked = [
        "numpy<2.0,>=1.0",
        "flwr[simulation]<1.42,>=1.41",
        "nowhere>=1",
        "ruff>=9; extra == 'dev'",
    ]
    monkeypatch.setattr(versions, "requires", lambda _: asked)
    numpy = f"numpy {np.__version__} instead of <2.0,>=1.0"
    check_is(versions_check(), FAIL, numpy, "nowhere is absent", "constraints.txt")
    assert "ruff" not in versions_check().found
    assert "flwr" not in versions_check().found


@pytest.mark.parametrize(
    ("installed", "sign", "wanted", "meets"),
    [
        ("1.41.0", ">=", "1.41", True),
        ("1.42.0", "<", "1.42", False),
        ("2.13.0+cpu", "==", "2.13.0", True),
        ("3.0.1", "==", "3.0.1", True),
        ("3.0.1a7", "==", "3.0.1", True),
        ("2.10", ">", "2.9", True),
        ("2.10", "<=", "2.9", False),
        ("1.0", "!=", "1.0.0", False),
    ],
)
def test_bounds_of_versions(installed: str, sign: str, wanted: str, meets: bool) -> None:
    assert versions._meets(installed, sign, wanted) is meets


def test_approved_studies(tmp_path: Path) -> None:
    make_identity(tmp_path)
    check_is(studies_check(tmp_path), WARN, "approved no study", "site join")
    path = approve(tmp_path, STUDY)
    check_is(studies_check(tmp_path), PASS, f"tiny ({STUDY.fingerprint[:12]})")
    content = path.read_text()
    path.write_text(content + " ")
    check_is(studies_check(tmp_path), FAIL, "was changed after it was approved")
    path.write_text(content)
    path.with_suffix(".approval").unlink()
    check_is(studies_check(tmp_path), FAIL, "bears no approval", "site approve")
    approve(tmp_path, STUDY)
    revoke(tmp_path, STUDY.fingerprint)
    check_is(studies_check(tmp_path), WARN, "approved no study")
    other = STUDY.model_copy(update={"name": "other"})
    approve(tmp_path, other)
    shown = studies_check(tmp_path)
    check_is(shown, PASS, f"other ({other.fingerprint[:12]})")
    assert "tiny" not in shown.found


def test_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for free, verdict in ((9 << 30, PASS), (3 << 30, WARN), (1 << 29, FAIL)):
        usage = shutil._ntuple_diskusage(10 << 30, 0, free)  # type: ignore[attr-defined]
        monkeypatch.setattr(disk.shutil, "disk_usage", lambda _, usage=usage: usage)
        check_is(disk_check([tmp_path, tmp_path / "none"]), verdict, "GiB are free")
    check_is(disk_check([tmp_path / "none"]), FAIL, "is not there")

    def refuse(**_: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(disk.tempfile, "TemporaryFile", refuse)
    check_is(disk_check([tmp_path]), FAIL, "cannot be written to (Permission denied)")


def test_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    room = NodeRoom.of(tmp_path)
    check_is(key_check(room), FAIL, "has no key", "site init")
    shown = fingerprint(make_key(room.key))
    check_is(key_check(room), PASS, shown)
    monkeypatch.setattr(disk.os, "getuid", lambda: os.geteuid() + 1)
    check_is(key_check(room), WARN, "belongs to another user")
    room.key.chmod(0o640)
    check_is(key_check(room), FAIL, "can be read by others", "chmod 600")
    room.key.chmod(0o600)
    room.key.write_text("nonsense")
    check_is(key_check(room), FAIL, "not the key of a site")


def test_identity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_is(identity_check(tmp_path), FAIL, "has no identity key", "site init")
    shown = line_fingerprint(make_identity(tmp_path))
    check_is(identity_check(tmp_path), PASS, shown)
    with monkeypatch.context() as patched:
        patched.setattr("client.doctor.identity.os.getuid", lambda: os.geteuid() + 1)
        check_is(identity_check(tmp_path), WARN, "belongs to another user")
    (tmp_path / "identity.key").chmod(0o644)
    check_is(identity_check(tmp_path), FAIL, "can be read by others", "chmod 600")
    (tmp_path / "identity.key").chmod(0o600)
    (tmp_path / "identity.key").write_text("nonsense")
    check_is(identity_check(tmp_path), FAIL, "not the identity key", "backup")


def test_cohort(site: Path, tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    tell: Callable[[int, int], None] = lambda done, total: steps.append((done, total))  # noqa: E731
    check_is(cohort_check(site, {}, tell), PASS, "10 patients, no fault")
    assert steps[-1] == (10, 10)
    check_is(cohort_check(site, {"x": STUDY}), PASS)
    other = STUDY.model_copy(
        update={"outcome": STUDY.outcome.model_copy(update={"positive": "HCM"})}
    )
    check_is(cohort_check(site, {"x": other}), FAIL, "scar and none", "HCM and none", "--positive")
    check_is(cohort_check(tmp_path / "none", {}), FAIL, "is not a site folder")
    (tmp_path / "source" / "Jones.nii.gz").unlink()
    found = cohort_check(site, {"x": STUDY})
    check_is(found, FAIL, "faults against the study tiny", "file-missing", "myofed site check")
    assert "Jones" not in f"{found.found} {found.fix}"


def test_radiomics(monkeypatch: pytest.MonkeyPatch) -> None:
    check_is(radiomics_check({"x": STUDY}), PASS, radiomics.DIGEST)
    with monkeypatch.context() as patched:
        patched.setattr(radiomics, "DIGEST", "0" * 16)
        check_is(radiomics_check({}), WARN, "0000000000000000", "constraints.txt")
    bad = np.array([1.0, np.nan])
    monkeypatch.setattr("client.imaging.selftest.self_test", lambda *_: bad)
    check_is(radiomics_check({"x": STUDY}), FAIL, "1 of 2 values", "tiny")


def test_a_site_that_has_not_joined_is_examined_all_the_same(tmp_path: Path) -> None:
    checks = {check.name: check for check in examine_site(tmp_path / "none")}
    check_is(checks["coordinator"], FAIL, "site init")
    check_is(checks["key"], FAIL)
    check_is(checks["cohort"], FAIL)
    check_is(checks["software"], PASS)
    check_is(checks["radiomics self-test"], PASS)


def test_a_whole_examination(site: Path, tmp_path: Path) -> None:
    from flwr.supercore.error import ApiErrorCode

    room = NodeRoom.of(site)
    room.make()
    make_key(room.key)
    make_identity(site)
    approve(site, STUDY)
    authority = Authority(tmp_path / "authority")
    room.ca.write_text(authority.ca.read_text())
    known = f'{{"code": {int(ApiErrorCode.FLEET_INVALID_HEARTBEAT_INTERVAL)}, "detail": ""}}'
    with https_server(*authority.server(), post=(400, known.encode())) as port:
        room.save(NodeSettings("tufts", f"localhost:{port}"))
        checks = examine_site(site)
    names = [check.name for check in checks]
    assert names == [
        *("key", "proxy", "name (DNS)", "port", "certificate (TLS)", "clock", "coordinator"),
        *("admission", "software", "disk", "data", "identity", "approved studies", "cohort"),
        *("radiomics self-test", "training"),
    ]
    assert {check.verdict for check in checks} <= {PASS, WARN}, checks
    node_only = examine_site(site, with_data=False)
    assert [check.name for check in node_only] == names[:10]
    assert next(c for c in node_only if c.name == "port").verdict is FAIL
