"""Folders of runs as a coordinator writes them, without a run: any number of sites and rounds."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from common.study import Study
from server.run import RunFolder

VERSIONS = '{"flwr": "1.41.0", "myofed": "0.1.0", "numpy": "2.4.6", "torch": "2.13.0"}'
SLICES = 160


def study_of(sites: int, external: int = 1, **content: Any) -> Study:
    """So many training sites; nothing is under masks unless the content says so."""
    names = [f"site-{number:03d}" for number in range(sites)]
    roster = [{"name": name, "role": "train"} for name in names]
    roster += [{"name": f"external-{one}", "role": "external"} for one in range(external)]
    usual = {"name": "made-up", "sites": roster, "secure_sum": {"enabled": False}}
    return Study.model_validate(usual | content)


@dataclass
class MadeRun:
    """Writes the events of a run; `now` is its clock."""

    folder: RunFolder
    now: float = 1_790_000_000.0
    times: dict[str, float] = field(default_factory=dict)

    @classmethod
    def begin(cls, path: Path, study: Study, now: float | None = None) -> MadeRun:
        made = cls(RunFolder.begin(path, study))
        made.now = made.now if now is None else now
        return made

    @property
    def study(self) -> Study:
        return self.folder.study

    def say(self, **fields: Any) -> None:
        time = datetime.fromtimestamp(self.now, UTC).isoformat(timespec="milliseconds")
        with (self.folder.path / "events.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps({"time": time, **fields}) + "\n")

    def enrol(self, sites: Iterable[str] | None = None) -> None:
        names = list(sites if sites is not None else [site.name for site in self.study.sites])
        self.began("enrol")
        self.ask("enrol", names)
        self.folder.keep_cohort({
            name: {
                "site": name, "positive": 10 + number % 30, "negative": 20 + number % 17,
                "slices": SLICES, "versions": VERSIONS,
            }
            for number, name in enumerate(names)
        })  # fmt: skip
        self.ended("enrol")

    def began(self, stage: str) -> None:
        self.say(event="stage-began", stage=stage)
        self.times[stage] = self.now

    def ended(self, stage: str) -> None:
        self.say(event="stage", stage=stage, seconds=round(self.now - self.times[stage], 3))

    def asking(self, stage: str, sites: Iterable[str], deadline: float = 3600.0, **details: Any
               ) -> None:  # fmt: skip
        self.say(event="asking", stage=stage, **details, attempt=1, deadline=deadline,
                 sites=list(sites))  # fmt: skip

    def ask(
        self,
        stage: str,
        sites: Iterable[str],
        seconds: float = 8.0,
        failures: Mapping[str, str] | None = None,
        **details: Any,
    ) -> None:
        """Ask a question and settle it `seconds` later."""
        names, missing = list(sites), failures or {}
        self.asking(stage, names, **details)
        self.now += seconds
        own = {
            name: {
                "received_bytes": 4_812_346,
                "sent_bytes": 0 if name in missing else 4_835_745,
                "seconds": None if name in missing else round(seconds * (0.5 + 0.5 / (2 + at)), 3),
            }
            for at, name in enumerate(names)
        }
        self.say(event="asked", stage=stage, **details, seconds=seconds, sites=own,
                 failures=dict(missing))  # fmt: skip

    def round(
        self,
        fold: int,
        number: int,
        failures: Mapping[str, str] | None = None,
        sites: Iterable[str] | None = None,
        by_site: bool = False,
        seconds: float = 8.0,
    ) -> None:
        names = list(self.study.training_sites if sites is None else sites)
        self.ask("train", names, seconds, failures, fold=fold, round=number)
        more = {"sites": {name: _measures(fold, number, at) for at, name in enumerate(names)}}
        self.say(event="measured", stage="train", fold=fold, round=number - 1,
                 **_measures(fold, number), **(more if by_site else {}))  # fmt: skip

    def answered(self, exchange: str, sites: Iterable[str]) -> None:
        place = self.folder.journal / exchange
        place.mkdir(parents=True, exist_ok=True)
        for site in sites:
            (place / f"{site}.answer").write_bytes(b"{}\n")


def _measures(fold: int, number: int, site: int = 0) -> dict[str, float]:
    wave = 0.02 * math.sin(1.7 * number + fold + site)
    gone = 1.0 - math.exp(-number / 12.0)
    return {
        "validation_loss": round(0.70 - 0.22 * gone + wave / 2, 6),
        "validation_auc": round(0.52 + 0.36 * gone + wave, 4),
        "training_loss": round(0.69 - 0.34 * gone + wave / 3, 6),
    }


def large_run(
    path: Path, sites: int = 100, rounds: int = 1000, now: float | None = None
) -> MadeRun:
    """A run of many sites that has almost as many rounds behind it as its study has."""
    study = study_of(sites, training={"rounds": rounds, "averaged_rounds": 7},
                     quorum={"min_sites": sites // 2})  # fmt: skip
    begin = None if now is None else now - 9.0 * rounds
    made = MadeRun.begin(path, study, begin)
    made.enrol()
    made.began("train")
    for number in range(1, rounds):
        lost = {"site-007": "is not connected"} if number > rounds - 10 else {}
        made.round(0, number, lost)
    return made
