"""A whole federation of sites in memory: their own workers, the coordinator's own stages."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
from flwr.app import Message, RecordDict
from flwr.supercore.task_identity import TaskIdentity
from site_samples import hold, make_rows, roster_of, with_keys

from client.cohort.rows import SiteRows
from client.worker.course import ANSWERED_FILE
from client.worker.hiding import SETS_FILE
from client.worker.worker import Worker
from common.messages import Hidden, Refusal
from common.question_kinds import ANSWERS
from common.records import (
    Envelope,
    digest_of,
    from_answer,
    refusal_record,
    to_record,
    unsealed,
)
from common.study import Study
from server.directory import Present
from server.federation import Federation
from server.roster import Roster
from server.run import RunFolder
from server.stages import calibrate, fuse, harmonize, train, validate
from server.stages.calibrate import Calibrated
from server.stages.fuse import Fused
from server.stages.harmonize import Harmonized
from server.stages.validate import Validated

FEATURES = 6
Spoil = Callable[[str, str, Any], Any]
"""Changes an answer, given its site and the name of its exchange; None where none ever comes."""


def refuses(*names: str, at: str) -> Spoil:
    """Let these sites refuse the exchanges whose name begins like that."""

    def spoil(site: str, exchange: str, answer: Any) -> Any:
        return Refusal("internal", "No.") if site in names and exchange.startswith(at) else answer

    return spoil


@dataclass
class Sites:
    """Sites in memory; what a site answered once is remembered, by the question.

    `asked` lists the site and the exchange of all that was not answered from memory.
    """

    rows: dict[str, SiteRows]
    study: Study
    folder: Path
    remembered: dict[tuple[str, str, str], RecordDict] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)

    @classmethod
    def make(cls, study: Study, folder: Path) -> Sites:
        rows = {
            site.name: make_rows(
                site.name, study, seed, patients=10, slices=2, features=FEATURES, shift=0.7 * seed
            )
            for seed, site in enumerate(study.sites)
        }
        return cls(rows, study, folder)

    def __post_init__(self) -> None:
        TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 0, 1
        self.workers = {
            name: Worker(hold(rows, self.study, self.folder)) for name, rows in self.rows.items()
        }

    def answer(self, site: str, stage: str, question: RecordDict, envelope: Envelope) -> RecordDict:
        key = (site, digest_of(question), repr(envelope.announced))
        if key not in self.remembered:
            self.asked.append((site, envelope.exchange))
            self.remembered[key] = self.workers[site].ask(stage, question, envelope)
        return self.remembered[key]

    def begin_anew(self) -> None:
        """Let another run ask: of what a site remembers of the last, only its numbers stay."""
        for worker in self.workers.values():
            (worker.context.memory.folder / ANSWERED_FILE).unlink(missing_ok=True)
            (worker.context.site.path / SETS_FILE).unlink(missing_ok=True)
            for kept in worker.context.memory.folder.glob("left-over-*"):
                kept.unlink()

    @property
    def roster(self) -> Roster:
        found = roster_of(list(self.rows.values()), self.study)
        if not self.study.secure_sum.enabled:
            return found
        return with_keys(found, {name: one.context for name, one in self.workers.items()})


class SpoiltGrid:
    """A Grid and a Directory over these sites, some of whose answers are changed on the way."""

    def __init__(self, sites: Sites, spoil: Spoil) -> None:
        self.sites = sites
        self.spoil = spoil
        self.names = list(sites.rows)
        self.waiting: dict[str, Message] = {}

    def present(self) -> dict[str, Present]:
        return {name: Present(node, "") for node, name in enumerate(self.names)}

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        names = []
        for message in messages:
            names.append(f"message {len(self.waiting)}")
            message.metadata.__dict__["_message_id"] = names[-1]
            self.waiting[names[-1]] = message
        return names

    def pull_messages(self, ids: Iterable[str]) -> Iterable[Message]:
        for message in (self.waiting[name] for name in ids):
            site = self.names[message.metadata.dst_node_id]
            stage = message.metadata.message_type.removeprefix("query.")
            envelope, question = unsealed(message.content)
            kind = Hidden if envelope.announced else ANSWERS[stage]
            honest = from_answer(kind, self.sites.answer(site, stage, question, envelope))
            sent = self.spoil(site, envelope.exchange, honest)
            if sent is None:
                continue
            refused = isinstance(sent, Refusal)
            yield Message(refusal_record(sent) if refused else to_record(sent), reply_to=message)


@dataclass
class Course:
    """The stages of a study over these sites, each to be run on its own."""

    sites: Sites
    federation: Federation

    @classmethod
    def over(cls, sites: Sites, out: Path, spoil: Spoil = lambda *names: names[-1]) -> Course:
        grid = SpoiltGrid(sites, spoil)
        if not (out / "run.json").exists():
            sites.begin_anew()
        run = RunFolder.begin(out, sites.study)
        return cls(sites, Federation(grid, run, grid, lambda *_: None, Event()))  # type: ignore[arg-type]

    def harmonize(self) -> Harmonized:
        return harmonize.run(self.federation, self.sites.roster, self.sites.study, FEATURES)

    def train(self, harmonized: Harmonized) -> list[np.ndarray]:
        return train.run(self.federation, self.federation.run, self.sites.roster, harmonized)

    def fuse(self, harmonized: Harmonized, weights: list[np.ndarray]) -> Fused:
        return fuse.run(self.federation, self.sites.roster, self.sites.study, harmonized, weights)

    def calibrate(self, fused: Fused) -> Calibrated:
        return calibrate.run(
            self.federation, self.sites.roster, fused.sites, self.sites.study, fused.folds
        )

    def validate(self, fused: Fused, calibrated: Calibrated) -> Validated:
        return validate.run(
            self.federation,
            self.sites.roster,
            self.sites.study,
            fused.folds,
            calibrated.thresholds,
        )

    def failures(self, exchange: str) -> dict[str, str]:
        """Who was missing from an exchange, by its name, and why."""
        stage, *rest = exchange.split(".")
        for event in reversed(self.federation.run.events()):
            if event["event"] == "asked" and event["stage"] == stage:
                details = [str(event[name]) for name in ("step", "fold", "round") if name in event]
                if details == rest:
                    found: dict[str, str] = event["failures"]
                    return found
        raise AssertionError(f"{exchange} was not asked")
