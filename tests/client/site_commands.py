"""`myofed site` called as a person calls it, and sites and invitations for it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from loopback_tls import Authority

import myofed
from client.cohort.site_folder import SiteFolder
from common.identity import Invitation
from common.study import Study


class Outcome:
    """How a command ended, and what it printed, in one line each."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, " ".join(out.split()), " ".join(err.split())


def caller(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Outcome]:
    """Give a function that runs `myofed site` with arguments."""

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


def make_study(*names: str, study: str = "tiny", **content: Any) -> Study:
    """A study of training sites, without secure summation unless it says so."""
    sites = [{"name": name, "role": "train"} for name in names or ("tufts",)]
    off = {"secure_sum": {"enabled": False}}
    return Study.model_validate({"name": study, "sites": sites} | off | content)


def make_cohort(path: Path, name: str = "tufts") -> None:
    """A site folder as importers make it, with an empty table."""
    SiteFolder.create(
        path, [], name=name, source="test", myocardium=2, positive="scar", negative="none"
    )


def invite(path: Path, authority: Authority, study: Study, address: str = "c.org:9092") -> Path:
    """An invitation to a study."""
    Invitation(
        address, authority.ca.read_text(), authority.fingerprint, study.canonical(),
        study.fingerprint,
    ).save(path)  # fmt: skip
    return path
