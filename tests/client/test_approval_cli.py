"""`myofed site approve`, `revoke` and `approvals`: what they show, keep and refuse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from site_commands import caller, make_cohort

from client.approved import approved
from client.identity_key import make_identity
from common.identity import line_fingerprint
from common.leave_one_out import left_out
from common.study import Study
from common.study_file import parse_study

NAMES = ("tufts", "mayo", "ucl")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    return caller(monkeypatch, capsys)


@pytest.fixture
def site(run: Any, tmp_path: Path) -> Path:
    folder = tmp_path / "tufts"
    make_cohort(folder)
    assert run("init", folder).code == 0
    return folder


def text_of(tmp_path: Path, site: Path, external: str = "", more: str = "") -> str:
    """A study with secure summation: three sites that train, and an external one."""
    lines = ['name = "tiny"', "[cohort]", "minimum_patients_per_class = 6", more]
    for name in (*NAMES, "bern"):
        folder = site if name == "tufts" else tmp_path / name
        role = "external" if name in (external, "bern") else "train"
        key = make_identity(folder)
        lines += ["[[sites]]", f'name = "{name}"', f'role = "{role}"', f'key = "{key}"']
    return "\n".join(lines)


@pytest.fixture
def study_file(tmp_path: Path, site: Path) -> Path:
    path = tmp_path / "study.toml"
    path.write_text(text_of(tmp_path, site))
    return path


def parsed(path: Path) -> Study:
    return parse_study(path.read_text())


def test_approve_shows_what_runs_and_what_leaves_and_signs(
    run: Any, site: Path, study_file: Path
) -> None:
    study = parsed(study_file)
    outcome = run("approve", site, study_file, "--yes")
    assert outcome.code == 0, outcome.err
    for shown in (
        study.fingerprint,
        *(line_fingerprint(one.key) for one in study.sites),
        "tufts (this site), trains",
        "bern, external",
        "enrol, harmonize, train, fuse, calibrate, validate (only of external sites",
        "15 rounds",
        "bin width 4",
        "6 patients of each class",
        "validate 120 min",
        "only the total over 3 or more sites can be read",
        "Secure summation is on",
        "at most 4 times",
        "images, masks, rows and names of patients",
        f"Approved: tiny ({study.fingerprint[:12]})",
    ):
        assert shown in outcome.out, shown
    # Of a training site nothing leaves in the clear but what enrolment needs.
    assert outcome.out.count("in the clear") == 1
    assert approved(site) == {study.fingerprint: study}
    held = json.loads((site / "studies" / f"{study.fingerprint}.approval").read_text())
    assert set(held) == {"fingerprint", "time", "signature"}
    assert len(held["signature"]) == 128


def left_out_text(tmp_path: Path, site: Path, external: str = "", more: str = "") -> str:
    """The same with a fourth site that trains, and leave one site out."""
    key = make_identity(tmp_path / "rome")
    rome = f'\n[[sites]]\nname = "rome"\nrole = "train"\nkey = "{key}"'
    return "leave_one_site_out = true\n" + text_of(tmp_path, site, external, more) + rome


def test_with_leave_one_site_out_it_says_which_runs_what_leaves_and_what_masks_cannot_hide(
    run: Any, tmp_path: Path, site: Path
) -> None:
    path = tmp_path / "left.toml"
    path.write_text(left_out_text(tmp_path, site))
    study = parsed(path)
    shown = " ".join(run("approve", site, path, "--yes").out.split())
    assert "up to 4 runs of the same protocol" in shown
    for name, one in left_out(study).items():
        assert f"{name} ({one.fingerprint[:12]})" in shown
    assert "in the run in which this site is left out, in the clear, of this site alone" in shown
    assert "only the total over 3 or more sites can be read" in shown
    assert "the differences tell what one site alone says" in shown
    assert "the coordinator could see this site's sums" in shown
    listed = run("approvals", site).out
    for name, one in left_out(study).items():
        assert f"{one.fingerprint[:12]} without {name}" in listed
    # Without masks there is nothing to take back.
    path.write_text(left_out_text(tmp_path, site, more="[secure_sum]\nenabled = false"))
    shown = " ".join(run("approve", site, path, "--yes").out.split())
    assert "the differences tell" not in shown
    assert "in the run in which this site is left out" in shown


def test_an_external_site_is_told_that_it_is_asked_in_every_run(
    run: Any, tmp_path: Path, site: Path
) -> None:
    path = tmp_path / "left.toml"
    off = "[secure_sum]\nenabled = false"
    path.write_text(left_out_text(tmp_path, site, external="tufts", more=off))
    shown = " ".join(run("approve", site, path, "--yes").out.split())
    assert "once in each of the 3 runs that leave a site out as well" in shown


def test_without_secure_summation_it_says_what_the_coordinator_sees(
    run: Any, tmp_path: Path, site: Path
) -> None:
    path = tmp_path / "plain.toml"
    path.write_text(text_of(tmp_path, site, more="[secure_sum]\nenabled = false"))
    shown = run("approve", site, path, "--yes").out
    assert "Secure summation is off" in shown
    assert shown.count("in the clear, of this site alone") == 4
    assert "masked" not in shown


def test_an_external_site_is_told_that_its_results_are_in_the_clear(
    run: Any, tmp_path: Path, site: Path
) -> None:
    path = tmp_path / "external.toml"
    off = "[secure_sum]\nenabled = false"
    path.write_text(text_of(tmp_path, site, external="tufts", more=off))
    shown = run("approve", site, path, "--yes").out
    assert "validate in the clear, of this site alone" in shown
    for what in ("score", "AUC", "confusion counts"):
        assert what in shown
    assert "harmonize in the clear" not in shown


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 1), ("\n", 1)])
def test_a_person_is_asked_first(
    run: Any, site: Path, study_file: Path, monkeypatch: pytest.MonkeyPatch, answer: str, code: int
) -> None:
    import io

    monkeypatch.setattr("sys.stdin", io.StringIO(answer))
    assert run("approve", site, study_file).code == code
    assert len(approved(site)) == (0 if code else 1)
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert run("approve", site, study_file).code == 1


def test_approve_refuses_what_is_not_for_this_site(
    run: Any, tmp_path: Path, site: Path, study_file: Path
) -> None:
    text = study_file.read_text()
    own, other = make_identity(site), make_identity(tmp_path / "other")
    path = tmp_path / "wrong.toml"

    path.write_text(text.replace(own, other))
    swapped = run("approve", site, path, "--yes")
    assert swapped.code == 2
    assert line_fingerprint(own) in swapped.err
    assert line_fingerprint(other) in swapped.err

    path.write_text(text.replace(f'key = "{own}"\n', ""))
    missing = run("approve", site, path, "--yes")
    assert (missing.code, "has no key for tufts" in missing.err) == (2, True)

    path.write_text(text.replace('"tufts"', '"leeds"'))
    absent = run("approve", site, path, "--yes")
    assert (absent.code, "has no site tufts" in absent.err) == (2, True)

    (site / "identity.key").chmod(0o644)
    open_to_all = run("approve", site, study_file, "--yes")
    assert (open_to_all.code, "chmod 600" in open_to_all.err) == (2, True)
    assert not (site / "studies").exists()

    stranger = run("approve", tmp_path / "nowhere", study_file, "--yes")
    assert (stranger.code, "site init" in stranger.err) == (2, True)


def test_an_external_site_needs_no_key_but_no_wrong_one(
    run: Any, tmp_path: Path, site: Path
) -> None:
    path = tmp_path / "external.toml"
    off = "[secure_sum]\nenabled = false"
    text = text_of(tmp_path, site, external="tufts", more=off)
    own = make_identity(site)
    path.write_text(text.replace(f'key = "{own}"\n', ""))
    assert run("approve", site, path, "--yes").code == 0
    path.write_text(text.replace(own, make_identity(tmp_path / "other")))
    assert run("approve", site, path, "--yes").code == 2


def test_revoke_takes_a_file_or_a_fingerprint_and_approvals_lists_it(
    run: Any, tmp_path: Path, site: Path, study_file: Path
) -> None:
    fingerprint = parsed(study_file).fingerprint
    assert "approved no study" in run("approvals", site).out
    assert run("approve", site, study_file, "--yes").code == 0
    assert f"{fingerprint[:12]} tiny approved since" in run("approvals", site).out
    assert run("revoke", site, fingerprint[:7]).code == 2
    unknown = run("revoke", site, "0" * 12)
    assert (unknown.code, fingerprint[:16] in unknown.err) == (2, True)
    done = run("revoke", site, fingerprint[:8])
    assert (done.code, "Withdrawn" in done.out) == (0, True)
    assert approved(site) == {}
    assert "withdrawn already" in run("revoke", site, fingerprint).out
    assert f"{fingerprint[:12]} tiny withdrawn since" in run("approvals", site).out
    assert run("approve", site, study_file, "--yes").code == 0
    assert list(approved(site)) == [fingerprint]
    assert run("revoke", site, study_file).code == 0
    assert approved(site) == {}
    other = tmp_path / "other.toml"
    other.write_text(study_file.read_text().replace('"tiny"', '"never"'))
    assert run("revoke", site, other).code == 2


def test_the_list_is_json_for_a_script_and_says_what_is_wrong(
    run: Any, site: Path, study_file: Path
) -> None:
    fingerprint = parsed(study_file).fingerprint
    assert json.loads(run("approvals", site, "--json").out) == []
    run("approve", site, study_file, "--yes")
    (one,) = json.loads(run("approvals", site, "--json").out)
    assert (one["fingerprint"], one["study"], one["state"]) == (fingerprint, "tiny", "approved")
    assert (one["since"][-6:], one["problem"]) == ("+00:00", "")
    (site / "studies" / f"{fingerprint}.approval").write_text("{}")
    (one,) = json.loads(run("approvals", site, "--json").out)
    assert (one["state"], one["since"]) == ("not approved", "")
    assert "is damaged" in one["problem"]
    assert "is damaged" in run("approvals", site).out
