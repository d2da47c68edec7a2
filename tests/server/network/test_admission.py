"""Admission: one name, one key; a key that was replaced never comes back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from network_samples import make_folder, new_identity, request_of

from common.errors import WrongUse
from common.identity import fingerprint, line_fingerprint, node_key
from server.network.admission import AdmittedNow, admit, admitted, admitted_keys
from server.network.folder import CoordinatorFolder


@pytest.fixture
def folder(tmp_path: Path) -> CoordinatorFolder:
    return make_folder(tmp_path / "coord")


def test_a_site_is_admitted_once(folder: CoordinatorFolder, tmp_path: Path) -> None:
    tufts, bern = request_of(tmp_path, "tufts"), request_of(tmp_path, "bern")
    done = admit(folder, tufts)
    assert done.new
    assert done.replaced == ()
    assert done.fingerprint == fingerprint(tufts.public_key)
    assert done.identity == line_fingerprint(tufts.identity)
    assert not admit(folder, tufts).new
    admit(folder, bern)
    assert list(admitted(folder)) == ["bern", "tufts"]
    assert admitted_keys(folder)[node_key(tufts.public_key)] == "tufts"


def test_a_comment_behind_the_key_makes_no_other_key(
    folder: CoordinatorFolder, tmp_path: Path
) -> None:
    tufts = request_of(tmp_path, "tufts")
    admit(folder, tufts)
    remarked = replace(tufts, public_key=f"{tufts.public_key} somebody@tufts")
    assert not admit(folder, remarked).new
    with pytest.raises(WrongUse, match="already admitted as tufts"):
        admit(folder, replace(remarked, name="bern", identity=new_identity()))


def test_the_same_key_under_two_names_is_refused(folder: CoordinatorFolder, tmp_path: Path) -> None:
    tufts = request_of(tmp_path, "tufts")
    admit(folder, tufts)
    bern = replace(request_of(tmp_path, "bern"), public_key=tufts.public_key)
    for may_replace in (False, True):
        with pytest.raises(WrongUse, match=r"The node key .* is already admitted as tufts"):
            admit(folder, bern, may_replace)
    assert list(admitted(folder)) == ["tufts"]


def test_the_identity_of_another_site_is_refused(folder: CoordinatorFolder, tmp_path: Path) -> None:
    tufts, bern = request_of(tmp_path, "tufts"), request_of(tmp_path, "bern")
    admit(folder, tufts)
    for known in (False, True):
        if known:
            admit(folder, bern)
        for may_replace in (False, True):
            with pytest.raises(WrongUse, match=r"The identity .* is already admitted as tufts"):
                admit(folder, replace(bern, identity=tufts.identity), may_replace)
    assert admitted(folder) == {"bern": bern, "tufts": tufts}


def test_a_new_identity_needs_replace_and_leaves_the_node_key_alone(
    folder: CoordinatorFolder, tmp_path: Path
) -> None:
    old = request_of(tmp_path, "tufts")
    new = replace(old, identity=new_identity())
    admit(folder, old)
    with pytest.raises(WrongUse, match="admitted with another identity") as refused:
        admit(folder, new)
    assert line_fingerprint(old.identity) in refused.value.what
    assert line_fingerprint(new.identity) in refused.value.fix
    assert "node key" not in str(refused.value)
    assert admitted(folder)["tufts"] == old
    done = admit(folder, new, replace=True)
    assert done.replaced == (line_fingerprint(old.identity),)
    assert admitted(folder)["tufts"] == new
    # The node's key still counts: what is a withdrawn node key there is taken from Flower.
    assert not list(folder.withdrawn.glob("*.json"))
    for name in ("tufts", "bern"):
        with pytest.raises(WrongUse, match=r"The identity .* was withdrawn earlier"):
            admit(folder, replace(old, name=name), replace=True)


def test_a_new_node_key_leaves_the_identity_alone(
    folder: CoordinatorFolder, tmp_path: Path
) -> None:
    old, other = request_of(tmp_path, "tufts"), request_of(tmp_path, "tufts", "new")
    new = replace(old, public_key=other.public_key)
    admit(folder, old)
    done = admit(folder, new, replace=True)
    assert done.replaced == (fingerprint(old.public_key),)
    assert admitted(folder)["tufts"] == new
    assert len(list(folder.withdrawn.iterdir())) == 1


def test_another_key_of_the_same_name_needs_replace(
    folder: CoordinatorFolder, tmp_path: Path
) -> None:
    old, new = request_of(tmp_path, "tufts", "old"), request_of(tmp_path, "tufts", "new")
    admit(folder, old)
    with pytest.raises(WrongUse, match=r"another node key, .* and another identity") as refused:
        admit(folder, new)
    assert fingerprint(old.public_key) in refused.value.what
    assert fingerprint(new.public_key) in refused.value.fix
    done = admit(folder, new, replace=True)
    assert done.replaced == (fingerprint(old.public_key), line_fingerprint(old.identity))
    assert admitted(folder)["tufts"] == new
    with pytest.raises(WrongUse, match="was withdrawn earlier"):
        admit(folder, old, replace=True)
    with pytest.raises(WrongUse, match="was withdrawn earlier"):
        admit(folder, replace(old, name="bern", identity=new_identity()))


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
    assert not now()
    tufts = request_of(tmp_path, "tufts")
    admit(folder, tufts)
    assert now() == {node_key(tufts.public_key): "tufts"}
    (folder.admitted / "broken.json").write_text("{")
    assert list(now().values()) == ["tufts"]
    assert list(now().values()) == ["tufts"]
    assert len(caplog.records) == 1
    (folder.admitted / "broken.json").unlink()
    (folder.admitted / "tufts.json").unlink()
    assert not now()
