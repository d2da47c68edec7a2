"""What a finished run's folder holds, read once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from common.errors import RunError
from common.study import Study
from common.trials import Settings
from server.evidence import Evidence

Result = dict[str, Any]


@dataclass(frozen=True, eq=False)
class FinishedRun:
    """A finished run: its study, results, evidence (None in a run of an older release), events.

    `begun` is run.json, `cohort` the sites as they enrolled, `left_out` what
    leave-one-site-out.json holds, None where no such folder was given.
    """

    path: Path
    study: Study
    results: Result
    evidence: Evidence | None
    events: Sequence[Result]
    begun: Result
    cohort: dict[str, Result]
    left_out: Result | None = None

    @classmethod
    def open(cls, folder: Path, left_out: Path | None = None) -> FinishedRun:
        """Read a run.

        Parameters
        ----------
        left_out
            Folder of a leave-one-site-out command, or None.

        Raises
        ------
        RunError
            The folder holds no finished run, or one of its files cannot be read.
        """
        if not (folder / "results.json").is_file():
            unfinished = (folder / "run.json").is_file()
            what = (
                "holds a run that is not finished" if unfinished else "is not the folder of a run"
            )
            raise RunError(
                f"{folder} {what}: there is no results.json in it.",
                "Go on with the run first." if unfinished else "Give the folder of a finished run.",
            )
        results = _read(folder / "results.json")
        try:
            study = Study.model_validate(_read(folder / "release" / "study.json"))
        except ValidationError as error:
            raise RunError(
                f"{folder / 'release' / 'study.json'} is not a study of this release.",
                "Make the report with the release that made the run.",
            ) from error
        if study.fingerprint != results.get("fingerprint"):
            raise RunError(
                f"The study in {folder / 'release'} is not the one that its results name.",
                "Take results.json and release from one run.",
            )
        return cls(
            folder,
            study,
            results,
            Evidence.load(folder),
            _lines(folder / "events.jsonl"),
            _read(folder / "run.json"),
            _read(folder / "cohort.json") if (folder / "cohort.json").is_file() else {},
            None if left_out is None else _read(left_out / "leave-one-site-out.json"),
        )

    @property
    def external(self) -> tuple[str, ...]:
        """External sites that were looked at, in the order of the results."""
        return tuple(self.results["external"])

    @property
    def settings(self) -> Settings:
        """How the networks were built and trained: as the search chose, where there was one."""
        cnn, training = self.study.cnn, self.study.training
        searched = self.optional("search")
        if searched is None:
            return Settings(cnn, training)
        chosen = searched["chosen"]
        return Settings(
            cnn.model_copy(update={"width": chosen["width"], "dropout": chosen["dropout"]}),
            training.model_copy(update={"learning_rate": chosen["learning_rate"]}),
        )

    def optional(self, key: str) -> Any:
        """Give what results.json holds under a key that not every study asks for; else None."""
        return self.results.get(key)


def _read(path: Path) -> Result:
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read ({error}).", "Give a complete folder.") from error
    if not isinstance(held, dict):
        raise RunError(f"{path} holds no table of names and values.", "Give a complete folder.")
    return held


def _lines(path: Path) -> list[Result]:
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read ({error}).", "Give a complete folder.") from error
