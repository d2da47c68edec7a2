"""What a run knows so far, in one folder: events as they happen, checkpoints, and the results.

A folder belongs to one run of one study. It is never overwritten: a finished run is refused, an
unfinished one of the same study is gone on with.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from safetensors.numpy import load_file

from common.errors import RunError
from common.files import replacing, write_arrays, write_json
from common.messages import Arrays
from common.study import Study


@dataclass(frozen=True)
class RunFolder:
    """A run's folder and its study."""

    path: Path
    study: Study
    identity: str

    @classmethod
    def begin(cls, path: Path, study: Study) -> RunFolder:
        """Make a run's folder, or open that of an unfinished run of the same study.

        Raises
        ------
        RunError
            The folder holds a finished run, a run of another study, or something else.
        """
        marker = path / "run.json"
        if (path / "results.json").exists():
            raise RunError(
                f"{path} already holds a finished run, which is never overwritten.",
                "Give another folder with --out.",
            )
        if marker.exists():
            held = json.loads(marker.read_text(encoding="utf-8"))
            if held["fingerprint"] != study.fingerprint:
                raise RunError(
                    f"{path} holds an unfinished run of another study ({held['study']}, "
                    f"{held['fingerprint'][:12]}).",
                    "Give another folder with --out, or run that study to go on with it.",
                )
            _drop_torn_line(path / "events.jsonl")
            return cls(path, study, held["identity"])
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise RunError(f"{path} exists and is not a run.", "Give another folder with --out.")
        (path / "checkpoint").mkdir(parents=True)
        now = datetime.now(UTC)
        identity = f"{study.name}-{now:%Y%m%dT%H%M%S}-{os.urandom(3).hex()}"
        content = {
            "study": study.name,
            "fingerprint": study.fingerprint,
            "identity": identity,
            "started": now.isoformat(timespec="seconds"),
        }
        with replacing(path / "study.json") as part:
            part.write_text(study.canonical() + "\n", encoding="utf-8")
        write_json(marker, content)
        return cls(path, study, identity)

    @property
    def journal(self) -> Path:
        """Where the answers of the run are kept until it is finished."""
        return self.path / "answers"

    def cohort(self) -> dict[str, dict[str, Any]]:
        """Read the sites that the run began with, as they enrolled; empty before that."""
        path = self.path / "cohort.json"
        if not path.exists():
            return {}
        held: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
        return held

    def keep_cohort(self, cohort: dict[str, dict[str, Any]]) -> None:
        """Write down the sites that the run begins with."""
        write_json(self.path / "cohort.json", cohort)

    def finish(self) -> None:
        """Remove what only an unfinished run needs."""
        shutil.rmtree(self.journal, ignore_errors=True)
        shutil.rmtree(self.path / "checkpoint", ignore_errors=True)

    def event(self, **fields: Any) -> None:
        """Append a line to events.jsonl, with the time in UTC."""
        line = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), **fields}
        with (self.path / "events.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def events(self) -> list[dict[str, Any]]:
        """Read all events of the run so far, those before an interruption too."""
        return [json.loads(line) for line in self._lines()]

    def told(self, **fields: Any) -> bool:
        """Whether there is an event with all these fields already."""
        # Most lines are of other events, and long: they need not be read.
        sign = f'"event": {json.dumps(fields["event"])}'
        found = (json.loads(line) for line in self._lines() if sign in line)
        return any(fields.items() <= one.items() for one in found)

    def _lines(self) -> list[str]:
        path = self.path / "events.jsonl"
        return path.read_text(encoding="utf-8").splitlines() if path.exists() else []

    def keep(self, name: str, arrays: Arrays) -> None:
        """Write a checkpoint, whole or not at all."""
        write_arrays(self._checkpoint(name), arrays)

    def kept(self, name: str) -> Arrays | None:
        """Read a checkpoint back; None where there is none."""
        path = self._checkpoint(name)
        return dict(load_file(path)) if path.exists() else None

    def drop(self, name: str) -> None:
        """Remove a checkpoint that nothing goes on from; that of none is nothing."""
        self._checkpoint(name).unlink(missing_ok=True)

    def _checkpoint(self, name: str) -> Path:
        return self.path / "checkpoint" / f"{name}.safetensors"


def _drop_torn_line(path: Path) -> None:
    """Cut off a last line that a crash left unfinished, so that the next one begins its own."""
    if not path.exists():
        return
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if whole != content:
        path.write_bytes(whole)
