"""Leave one site out at a coordinator: which runs are begun, gone on with, and left alone."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from network_samples import make_folder, make_study

from common.errors import RunError, StudyError, WrongUse
from common.files import write_json
from common.study import Study
from server.network import leave_one_out
from server.network.folder import CoordinatorFolder
from server.network.runs import BEGAN, FAILED, SUBMITTED, identities, standing
from server.network.runs import begin as begin_run
from server.run import RunFolder
from server.run_cli import run as run_command

NAMES = ("aldgate", "bergamo", "coimbra")
STUDY = Study.model_validate(make_study(*NAMES).model_dump() | {"leave_one_site_out": True})


class NoFlower:
    """Stands in for the coordinator's Control, and for Flower behind it."""

    def __init__(self, folder: CoordinatorFolder) -> None:
        self.folder = folder
        self.resumed: list[str] = []

    def start(self, folder: CoordinatorFolder, study: Study, _: Any) -> RunFolder:
        run = begin_run(folder, study)
        run.event(event=SUBMITTED, flower=1)
        return run

    def resume(self, folder: CoordinatorFolder, run: RunFolder, _: Any) -> None:
        self.resumed.append(run.identity)


@pytest.fixture
def folder(tmp_path: Path) -> CoordinatorFolder:
    return make_folder(tmp_path / "coord")


@pytest.fixture
def flower(folder: CoordinatorFolder, monkeypatch: pytest.MonkeyPatch) -> NoFlower:
    made = NoFlower(folder)
    monkeypatch.setattr(leave_one_out, "start", made.start)
    monkeypatch.setattr(leave_one_out, "resume", made.resume)
    monkeypatch.setattr(leave_one_out, "how_it_stands", lambda run, _: standing(run))
    return made


def test_a_study_that_does_not_ask_for_it_is_refused_before_anything_is_made(
    folder: CoordinatorFolder,
) -> None:
    with pytest.raises(StudyError, match="does not ask for leave one site out"):
        leave_one_out.begin(folder, make_study(*NAMES))
    assert not (folder.path / "leave-one-site-out").exists()


def test_each_run_is_begun_once_and_found_again(
    folder: CoordinatorFolder, flower: NoFlower
) -> None:
    path, derived = leave_one_out.begin(folder, STUDY)
    assert path.name == f"tiny-{STUDY.fingerprint[:12]}"
    assert leave_one_out.begin(folder, STUDY)[0] == path
    made = {
        site: leave_one_out.run_without(folder, path, site, one, flower)  # type: ignore[arg-type]
        for site, one in derived.items()
    }
    assert sorted(identities(folder)) == sorted(run.identity for run in made.values())
    for site, run in made.items():
        assert run.study == derived[site]
        assert (path / f"without-{site}").resolve() == run.path.resolve()
        # The link survives that the whole folder is moved.
        assert not os.path.isabs(os.readlink(path / f"without-{site}"))
    # Submitted, and nobody says that it is over: it is interrupted, and gone on with.
    again = leave_one_out.run_without(folder, path, "bergamo", derived["bergamo"], flower)  # type: ignore[arg-type]
    assert again.identity == made["bergamo"].identity
    assert flower.resumed == [again.identity]
    assert len(identities(folder)) == len(NAMES)


@pytest.mark.parametrize(("event", "resumed"), [(FAILED, True), (BEGAN, True), (None, False)])
def test_what_failed_is_gone_on_with_and_what_is_finished_is_not(
    folder: CoordinatorFolder, flower: NoFlower, event: str | None, resumed: bool
) -> None:
    path, derived = leave_one_out.begin(folder, STUDY)
    first = leave_one_out.run_without(folder, path, "aldgate", derived["aldgate"], flower)  # type: ignore[arg-type]
    if event is None:
        write_json(first.path / "results.json", {})
    else:
        first.event(event=event, what="", fix="")
    leave_one_out.run_without(folder, path, "aldgate", derived["aldgate"], flower)  # type: ignore[arg-type]
    assert flower.resumed == ([first.identity] if resumed else [])


def test_it_cannot_be_left_to_itself(folder: CoordinatorFolder, tmp_path: Path) -> None:
    study = tmp_path / "study.toml"
    roster = "".join(f'[[sites]]\nname = "{name}"\nrole = "train"\n' for name in NAMES)
    study.write_text(
        f'name = "tiny"\nleave_one_site_out = true\n{roster}[secure_sum]\nenabled = false\n'
    )
    with pytest.raises(WrongUse, match="cannot be left"):
        run_command(folder.path, study, detach=True, leave_one_site_out=True)
    assert identities(folder) == []


def test_the_folder_of_something_else_is_left_alone(folder: CoordinatorFolder) -> None:
    path, _ = leave_one_out.begin(folder, STUDY)
    (path / "study.json").unlink()
    (path / "notes.txt").write_text("")
    with pytest.raises(RunError, match="does not leave one site out"):
        leave_one_out.begin(folder, STUDY)
