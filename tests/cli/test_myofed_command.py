"""The command: exit codes, help, and one clear sentence for what cannot work."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
import SimpleITK as sitk
import typer.main

import myofed
from client.cohort.importers import import_table
from common.files import write_json
from common.study_file import parse_study
from server.run import RunFolder

ROOT = Path(__file__).resolve().parents[2]
PATIENTS = ("Smith", "Jones", "Okafor", "Garcia", "Novak", "Tanaka")
STUDY = """name = "tiny"
[secure_sum]
enabled = false
[[sites]]
name = "tufts"
role = "train"
[cohort]
minimum_patients_per_class = 2
"""


class Outcome:
    """Exit code and what was printed, for a person and for a script."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    def call(*arguments: str | Path) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["myofed", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            myofed.main()
        printed = capsys.readouterr()
        code = left.value.code
        assert isinstance(code, int)
        assert "Traceback" not in printed.err + printed.out
        return Outcome(code, printed.out, printed.err)

    return call


def commands(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    if isinstance(command, click.Group):
        for name, child in command.commands.items():
            yield from commands(child, (*path, name))


EVERY = list(commands(typer.main.get_command(myofed.app)))


def test_the_commands_of_the_issue_are_there() -> None:
    wanted = "study new, study show, site check, site extract, simulate, predict, demo, "
    wanted += "site import table, site import acdc, site import mnms, site import sunnybrook"
    assert {tuple(name.split()) for name in wanted.split(", ")} <= set(EVERY)


@pytest.mark.parametrize("path", EVERY, ids=" ".join)
def test_every_command_and_option_has_help(run: Any, path: tuple[str, ...]) -> None:
    outcome = run(*path, "--help")
    assert outcome.code == 0
    usage = " ".join(outcome.out.partition("Usage: ")[2].split())
    assert " ".join(path) in usage
    command: click.Command = typer.main.get_command(myofed.app)
    for name in path:
        assert isinstance(command, click.Group)
        command = command.commands[name]
    assert command.help
    for parameter in command.params:
        if parameter.name != "help":
            assert getattr(parameter, "help", ""), f"{parameter.name} of {path}"


def test_the_installed_command_runs_as_a_process() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "myofed", "study", "show", "nowhere.toml"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("study-invalid: The study file nowhere.toml cannot be read")
    assert "What to do: Give the path of a study.toml" in done.stderr
    assert "Traceback" not in done.stderr


WRONG = [
    ("fly",),
    ("study", "show"),
    ("study", "show", "a", "b"),
    ("simulate", "study.toml"),
    ("site", "check", "--colour"),
    ("site", "extract", "x", "--study", "s", "--workers", "0"),
    ("site", "import", "table", "x.csv", "--out", "y", "--myocardium", "two"),
    ("site", "import", "table", "x.csv", "--out", "y", "--part", "half"),
]


@pytest.mark.parametrize("arguments", WRONG, ids=" ".join)
def test_a_wrong_use_is_2_and_says_what_is_wrong(
    run: Any, arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = run(*arguments)
    assert outcome.code == 2
    assert len(outcome.err) > 20
    assert outcome.out == ""
    assert list(tmp_path.iterdir()) == []


def test_a_new_study_is_valid_and_never_overwrites(run: Any, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "study.toml"
    assert run("study", "new", path).code == 0
    study = parse_study(path.read_text())
    path.write_text(path.read_text() + "# my own line\n")
    before = path.read_bytes()
    again = run("study", "new", path)
    assert again.code == 2
    assert "exists already" in again.err
    assert path.read_bytes() == before
    shown = run("study", "show", path)
    assert shown.code == 0
    assert study.fingerprint in shown.out
    content = json.loads(run("study", "show", path, "--json").out)
    assert content["fingerprint"] == study.fingerprint
    assert content["study"] == study.model_dump(mode="json")


def test_a_study_that_is_not_valid_is_1_and_names_every_line(run: Any, tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    path.write_text(STUDY + "colour = 1\n[cnn]\nwidth = 9\n")
    outcome = run("study", "show", path, "--json")
    assert (outcome.code, outcome.out) == (1, "")
    for line in ("line 9: cohort.colour: unknown key", "line 11: cnn.width"):
        assert line in outcome.err


def write(path: Path, array: Any, spacing: float = 1.4) -> None:
    image: Any = sitk.GetImageFromArray(array)
    image.SetSpacing((spacing, spacing, 8.0))
    sitk.WriteImage(image, str(path))


def make_site(folder: Path, name: str = "tufts", out: str = "") -> Path:
    """Import six patients of one slice."""
    source = folder / f"source-{out or name}"
    source.mkdir(parents=True)
    y, x = np.mgrid[:48, :48]
    away = np.hypot(y - 24, x - 24)
    mask = np.where(away < 7, 1, np.where(away < 12, 2, 0)).astype(np.uint8)[None]
    rows = []
    for number, patient in enumerate(PATIENTS):
        noise = np.random.default_rng([number, len(name)]).normal(0, 5, mask.shape)
        image = (np.choose(mask, [60, 200, 90]) + noise).astype(np.float32)
        write(source / f"{patient}.nii.gz", image)
        write(source / f"{patient}_gt.nii.gz", mask)
        row = {"patient_id": patient, "image": f"{patient}.nii.gz", "mask": f"{patient}_gt.nii.gz"}
        rows.append(row | {"phase": "ED", "label": ("none", "scar")[number % 2], "age": "50"})
    with (source / "cohort.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    site = folder / "sites" / (out or name)
    import_table(
        source / "cohort.csv", site, name=name, positive="scar", negative="none", myocardium=2
    )
    return site


def test_a_clean_site_passes_and_imports_once(run: Any, tmp_path: Path) -> None:
    site = make_site(tmp_path)
    (tmp_path / "study.toml").write_text(STUDY)
    outcome = run("site", "check", site, "--study", tmp_path / "study.toml")
    assert outcome.code == 0, outcome.out
    assert "No fault." in outcome.out
    table = tmp_path / "source-tufts" / "cohort.csv"
    again = run("site", "import", "table", table, "--out", site)
    assert again.code == 1
    assert "not overwritten" in again.err


def test_a_broken_site_lists_all_faults_and_shares_no_identifier(run: Any, tmp_path: Path) -> None:
    site = make_site(tmp_path)
    source = tmp_path / "source-tufts"
    (source / "Jones.nii.gz").unlink()
    write(source / "Okafor.nii.gz", np.full((1, 48, 48), 3.0, np.float32))
    write(source / "Garcia_gt.nii.gz", np.zeros((1, 48, 48), np.uint8))
    (source / "Novak.nii.gz").write_bytes(b"no image")
    (tmp_path / "study.toml").write_text(STUDY)
    asked = ("site", "check", site, "--study", tmp_path / "study.toml")
    shared = tmp_path / "shared.json"
    listed = run(*asked, "--share", shared)
    assert listed.code == 1
    for patient, code in (
        ("Jones", "file-missing"),
        ("Okafor", "image-constant"),
        ("Garcia", "mask"),
        ("Novak", "image-unreadable"),
    ):
        lines = [line for line in listed.out.splitlines() if patient in line]
        assert any(code in line for line in lines), patient
    assert "Tanaka" not in listed.out
    found = run(*asked, "--json")
    assert found.code == 1
    content = json.loads(found.out)
    assert content["passed"] is False
    assert len(content["faults"]) >= 4
    assert json.loads(shared.read_text()) == content
    for text in (found.out, shared.read_text()):
        for word in (*PATIENTS, str(tmp_path), ".nii", "/"):
            assert word not in text


def simulate(run: Any, folder: Path, sites: str = "sites", out: str = "run") -> Outcome:
    (folder / "study.toml").write_text(STUDY)
    outcome: Outcome = run(
        "simulate", folder / "study.toml", "--sites", folder / sites, "--out", folder / out
    )
    return outcome


def test_simulate_names_the_site_that_has_no_folder(run: Any, tmp_path: Path) -> None:
    make_site(tmp_path, "mayo")
    outcome = simulate(run, tmp_path)
    assert outcome.code == 1
    assert "no site folder for tufts; there: mayo" in outcome.err
    assert "What to do: Import the missing site" in outcome.err
    assert not (tmp_path / "run").exists()
    assert simulate(run, tmp_path, sites="nowhere").code == 1


def test_simulate_refuses_two_folders_of_one_site(run: Any, tmp_path: Path) -> None:
    make_site(tmp_path)
    make_site(tmp_path, out="copy")
    outcome = simulate(run, tmp_path)
    assert outcome.code == 1
    assert "both carry the name 'tufts'" in outcome.err
    for name in ("tufts", "copy"):
        assert str(tmp_path / "sites" / name) in outcome.err


def test_simulate_never_overwrites_a_run(run: Any, tmp_path: Path) -> None:
    make_site(tmp_path)
    held = RunFolder.begin(tmp_path / "run", parse_study(STUDY))
    write_json(held.path / "results.json", {"mine": True})
    outcome = simulate(run, tmp_path)
    assert outcome.code == 1
    assert "already holds a finished run, which is never overwritten" in outcome.err
    assert json.loads((held.path / "results.json").read_text()) == {"mine": True}
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_text("")
    other = simulate(run, tmp_path, out="photos")
    assert other.code == 1
    assert "is not a run" in other.err


def test_simulate_lists_a_site_s_faults_before_it_begins(run: Any, tmp_path: Path) -> None:
    make_site(tmp_path)
    for patient in ("Jones", "Novak"):
        (tmp_path / "source-tufts" / f"{patient}.nii.gz").unlink()
    outcome = simulate(run, tmp_path)
    assert outcome.code == 1
    assert "Site tufts has" in outcome.err
    for patient in ("Jones", "Novak"):
        assert f"patient {patient}" in outcome.err
    assert not (tmp_path / "run" / "results.json").exists()


def test_predict_names_what_is_no_release_and_the_demo_what_it_would_overwrite(
    run: Any, tmp_path: Path
) -> None:
    outcome = run("predict", tmp_path, "cohort.csv", "--out", tmp_path / "scores.csv")
    assert outcome.code == 1
    assert "is not a complete release" in outcome.err
    (tmp_path / "file").write_text("")
    refused = run("demo", "--out", tmp_path)
    assert refused.code == 2
    assert "holds something already" in refused.err


def test_ctrl_c_says_that_what_is_done_is_kept(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(**_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(myofed, "app", interrupted)
    outcome = run("demo")
    assert outcome.code == 1
    assert "What is done is kept" in outcome.err
