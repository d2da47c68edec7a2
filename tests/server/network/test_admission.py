"""Admission: one name, one key; a key that was replaced never comes back."""

from __future__ import annotations

from pathlib import Path

import pytest
from network_samples import make_folder, request_of

from common.errors import WrongUse
from common.identity import JoinRequest, fingerprint, node_key
from server.network.admission import AdmittedNow, admit, admitted, admitted_keys
from server.network.folder import CoordinatorFolder


@pytest.fixture
def folder(tmp_path: Path) -> CoordinatorFolder:
    return make_folder(tmp_path / "coord")


def test_a_site_is_admitted_once(folder: CoordinatorFolder, tmp_path: Path) -> None:
    tufts, bern = request_of(tmp_path, "tufts"), request_of(tmp_path, "bern")
    done = admit(folder, tufts)
    assert done.new
    assert done.replaced is None
    assert done.fingerprint == fingerprint(tufts.public_key)
    assert not admit(folder, tufts).new
    admit(folder, bern)
    assert list(admitted(folder)) == ["bern", "tufts"]
    assert admitted_keys(folder)[node_key(tufts.public_key)] == "tufts"


def test_a_comment_behind_the_key_makes_no_other_key(
    folder: CoordinatorFolder, tmp_path: Path
) -> None:
    tufts = request_of(tmp_path, "tufts")
    admit(folder, tufts)
    remarked = JoinRequest("tufts", f"{tufts.public_key} somebody@tufts", tufts.created)
    assert not admit(folder, remarked).new
    with pytest.raises(WrongUse, match="already admitted as tufts"):
        admit(folder, JoinRequest("bern", remarked.public_key, tufts.created))


def test_the_same_key_under_two_names_is_refused(folder: CoordinatorFolder, tmp_path: Path) -> None:
    tufts = request_of(tmp_path, "tufts")
    admit(folder, tufts)
    for replace in (False, True):
        with pytest.raises(WrongUse, match="already admitted as tufts"):
            admit(folder, JoinRequest("bern", tufts.public_key, tufts.created), replace)
    assert list(admitted(folder)) == ["tufts"]


def test_another_key_of_the_same_name_needs_replace(
    folder: CoordinatorFolder, tmp_path: Path
) -> None:
    old, new = request_of(tmp_path, "tufts", "old"), request_of(tmp_path, "tufts", "new")
    admit(folder, old)
    with pytest.raises(WrongUse, match="admitted with another key") as refused:
        admit(folder, new)
    assert fingerprint(old.public_key) in refused.value.what
    assert fingerprint(new.public_key) in refused.value.fix
    done = admit(folder, new, replace=True)
    assert done.replaced == fingerprint(old.public_key)
    assert admitted(folder)["tufts"] == new
    with pytest.raises(WrongUse, match="was withdrawn earlier"):
        admit(folder, old, replace=True)
    with pytest.raises(WrongUse, match="was withdrawn earlier"):
        admit(folder, JoinRequest("bern", old.public_key, old.created))


def test_a_file_that_was_renamed_by_hand_is_refused(
    folder: CoordinatorFolder, tmp_path: Path
) -> None:
    admit(folder, request_of(tmp_path, "tufts"))
    (folder.admitted / "tufts.json").rename(folder.admitted / "bern.json")
    with pytest.raises(WrongUse, match="holds the key of tufts"):
        admitted(folder)


def test_the_admitted_now_follow_the_folder_and_survive_a_broken_file(
    folder: CoordinatorFolder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    now = AdmittedNow(folder)
    assert len(now) == 0
    tufts = request_of(tmp_path, "tufts")
    admit(folder, tufts)
    assert dict(now) == {"tufts": tufts.public_key}
    assert now.node_keys() == {node_key(tufts.public_key): "tufts"}
    (folder.admitted / "broken.json").write_text("{")
    assert list(now) == ["tufts"]
    assert list(now) == ["tufts"]
    assert len(caplog.records) == 1
    (folder.admitted / "broken.json").unlink()
    (folder.admitted / "tufts.json").unlink()
    assert list(now) == []
