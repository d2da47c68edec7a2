"""`ledger show`, `verify` and `export`: what they print, and how they end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ledger_samples import (
    KEY,
    OTHER,
    answer,
    file_of,
    fill,
    refusal,
    save_public,
    without_waiting,
)
from typer.testing import CliRunner

from client.egress.cli import app
from client.egress.entry import Asked, Entry
from client.egress.ledger import Ledger
from common.errors import WrongUse


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    without_waiting(monkeypatch)
    monkeypatch.setenv("COLUMNS", "200")
    fill(tmp_path, 4)
    save_public(tmp_path)
    return tmp_path


def call(*arguments: str | Path) -> tuple[int, str, BaseException | None]:
    found = CliRunner().invoke(app, [str(one) for one in arguments])
    return found.exit_code, found.stdout, found.exception


def test_show_lists_what_left(site: Path) -> None:
    code, out, _ = call("show", site)
    assert code == 0
    assert "approval abababababab" in out
    assert "refused: wrong-use" in out
    assert "train.0.3" in out
    assert "24" in out


def test_show_of_one_run_as_json(site: Path) -> None:
    Ledger(site, KEY).record(answer(1, run="run-2"))
    _, out, _ = call("show", site, "--run", "run-2", "--json")
    held: list[dict[str, Any]] = json.loads(out)
    assert [(one["number"], one["run"]) for one in held] == [(5, "run-2")]
    assert held[0]["fields"][0]["name"] == "loss"
    _, out, _ = call("show", site, "--run", "run-3")
    assert out.strip() == "Nothing left in the run run-3."


def test_show_takes_nothing_for_markup(site: Path) -> None:
    Ledger(site, KEY).record(Entry("refusal", Asked("", "[/b]", "[red]x[/]"), code="[/]"))
    code, out, _ = call("show", site)
    assert code == 0
    assert "[red]x[/]" in out
    assert "[/b]" in out


def test_verify_of_a_whole_ledger(site: Path) -> None:
    code, out, _ = call("verify", site)
    assert code == 0
    assert "good lines: 4; the ledger is whole" in out
    assert "head     line 4, " in out
    assert "identity SHA256:" in out
    code, out, _ = call("verify", site, "--json")
    held = json.loads(out)
    assert (code, held["lines"], held["faults"], held["head"]["number"]) == (0, 4, [], 4)


def test_verify_names_each_fault_and_ends_with_1(site: Path) -> None:
    path = file_of(site)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0].replace(b'"study":"ab', b'"study":"cd'), *lines[2:]]))
    code, out, _ = call("verify", site)
    assert code == 1
    assert "line 1: it is not as the site wrote it" in out
    assert "line 2: it is gone" in out
    assert "good lines: 2; faults: 2" in out
    code, out, _ = call("verify", site, "--json")
    assert code == 1
    faults = [(one["line"], one["code"]) for one in json.loads(out)["faults"]]
    assert faults == [(1, "edited"), (2, "removed")]


def test_verify_with_another_key_and_without_ledger_ends_with_1(site: Path) -> None:
    save_public(site, OTHER)
    code, out, _ = call("verify", site)
    assert (code, "nothing in the ledger is signed with this key" in out) == (1, True)
    other = site / "other"
    other.mkdir()
    save_public(other)
    code, out, _ = call("verify", other)
    assert (code, "there is no ledger" in out) == (1, True)


def test_verify_says_where_a_worker_ended_while_it_wrote(site: Path) -> None:
    path = file_of(site)
    path.write_bytes(path.read_bytes() + b'{"code":"","exch')
    code, out, _ = call("verify", site)
    assert code == 0
    assert "was not written to its end" in out


def test_without_a_key_or_a_ledger_it_is_wrong_use(site: Path) -> None:
    (site / "identity.pub").unlink()
    for command in (["verify", site], ["export", site, "--out", site / "x.html"]):
        _, _, error = call(*command)
        assert isinstance(error, WrongUse)
    _, _, error = call("show", site / "nowhere")
    assert isinstance(error, WrongUse)
    (site / "identity.pub").write_text("ssh-rsa AAAA\n")
    assert isinstance(call("verify", site)[2], WrongUse)


@pytest.mark.parametrize("name", ["out.html", "out.csv"])
def test_export_writes_the_file(site: Path, name: str) -> None:
    code, out, _ = call("export", site, "--out", site / name)
    assert code == 0
    assert "Wrote" in out
    text = (site / name).read_text(encoding="utf-8")
    assert "train" in text
    assert "wrong-use" in text or name == "out.csv"


def test_the_help_of_each_command_is_its_docstring() -> None:
    for command in ("show", "verify", "export"):
        code, out, _ = call(command, "--help")
        assert code == 0
        assert "FOLDER" in out


def test_a_refusal_is_listed_with_its_stage(site: Path) -> None:
    Ledger(site, KEY).record(refusal(stage="everything"))
    assert "everything.1" in call("show", site)[1]
