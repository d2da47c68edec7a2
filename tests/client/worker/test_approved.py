"""What a site approved: kept by content, and refused when it is not what was approved."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from client.approved import approve, approved, approved_study
from common.errors import StudyError, StudyMismatch
from common.study import Study


def study_of(name: str) -> Study:
    return Study.model_validate({"name": name, "sites": [{"name": "a", "role": "train"}]})


ONE, TWO = study_of("one"), study_of("two")


def test_what_was_approved_is_read_back(tmp_path: Path) -> None:
    assert approved(tmp_path) == {}
    paths = [approve(tmp_path, study) for study in (ONE, TWO, ONE)]
    assert paths[0] == paths[2] == tmp_path / "studies" / f"{ONE.fingerprint}.json"
    assert paths[0].read_text() == ONE.canonical()
    assert approved(tmp_path) == {study.fingerprint: study for study in (ONE, TWO)}
    assert approved_study(tmp_path, TWO.fingerprint) == TWO
    assert len(list((tmp_path / "studies").iterdir())) == 2


@pytest.mark.parametrize("fingerprint", ["0" * 64, "", "../site", TWO.fingerprint])
def test_what_was_not_approved_is_refused_and_what_was_is_said(
    tmp_path: Path, fingerprint: str
) -> None:
    with pytest.raises(StudyMismatch, match="approved: none"):
        approved_study(tmp_path, fingerprint)
    approve(tmp_path, ONE)
    (tmp_path / "site.json").write_text("{}")
    with pytest.raises(StudyMismatch, match=f"approved: {ONE.fingerprint[:12]}"):
        approved_study(tmp_path, fingerprint)


def test_an_edited_file_is_refused_by_name_and_the_others_stand(tmp_path: Path) -> None:
    path = approve(tmp_path, ONE)
    approve(tmp_path, TWO)
    path.write_text(path.read_text().replace('"folds":1', '"folds":2'))
    for read in (lambda: approved(tmp_path), lambda: approved_study(tmp_path, ONE.fingerprint)):
        with pytest.raises(StudyError, match=f"{path.name} was changed after it was approved"):
            read()
    assert approved_study(tmp_path, TWO.fingerprint) == TWO


@pytest.mark.parametrize("content", ['{"name":"one"}', ONE.canonical() + " ", "[]", "\udcff"])
def test_a_file_of_another_release_is_refused_by_name(tmp_path: Path, content: str) -> None:
    data = content.encode(errors="surrogateescape")
    path = tmp_path / "studies" / f"{hashlib.sha256(data).hexdigest()}.json"
    path.parent.mkdir()
    path.write_bytes(data)
    with pytest.raises(StudyError, match=f"{path.name} was approved with another release"):
        approved(tmp_path)


def test_a_file_that_is_no_approval_is_refused_by_name(tmp_path: Path) -> None:
    approve(tmp_path, ONE)
    (tmp_path / "studies" / "copy.json").write_text(ONE.canonical())
    with pytest.raises(StudyError, match=r"copy\.json is not an approval"):
        approved(tmp_path)
