"""The worker's desk: it opens the envelope and finds the worker of that study and run.

Approvals are looked up for each question, so a new one needs no restart and one that was taken
away counts at once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path

from flwr.app import ConfigRecord, RecordDict

from client.approved_family import Asked, asked_study
from client.cohort.site_folder import SiteFolder
from client.context import SiteContext
from client.egress.ledger import Ledger
from client.identity_key import load_identity
from client.site_keys import SiteKeys
from client.worker.receipts import Receipts, asked
from client.worker.refused import answer_or_refuse
from client.worker.worker import Worker
from common.errors import RunError
from common.messages import Refusal
from common.records import Envelope, digest_of, unsealed
from common.study import Study

KEPT = 2
"""Workers kept: one holds the rows of the site, and rarely are there more runs than one."""


class WorkerDesk:
    """Answers the sealed questions of every study that a site approved.

    Parameters
    ----------
    study_of
        Finds an approved study by its fingerprint; by default among the site's approvals.
    cores
        How many cores may be used to measure images that no command has measured before.
    keys
        Take the place of the site's own identity and of those in the study's roster.

    Raises
    ------
    CohortError
        There is no site folder.
    WrongUse
        The site has no identity key.
    """

    def __init__(
        self,
        site_path: Path | str,
        study_of: Callable[[str], Study] | None = None,
        cores: int = 1,
        keys: SiteKeys | None = None,
    ) -> None:
        self.site = SiteFolder.open(site_path)
        self.asked: Callable[[str], Asked] = partial(asked_study, self.site.path)
        if study_of is not None:
            self.asked = partial(_alone, study_of)
        self.log = logging.getLogger(f"myofed.site.{self.site.name}")
        self.cores = cores
        self.keys = keys
        # Where keys are given, this is a simulation, and nothing leaves the machine.
        ledger = None if keys else Ledger(self.site.path, load_identity(self.site.path))
        self._receipts = Receipts(ledger, self.log)
        self._workers: dict[tuple[str, str], Worker] = {}

    def ask(self, stage: str, record: RecordDict) -> RecordDict:
        """Answer a question in its envelope; never raises but for Ctrl-C."""
        opened: list[tuple[str, Envelope, RecordDict]] = []

        def answer() -> RecordDict:
            envelope, question = unsealed(record)
            fingerprint = _fingerprint(question)
            opened.append((fingerprint, envelope, question))
            return self._worker(fingerprint, envelope.run).ask(stage, question, envelope)

        def note(refusal: Refusal) -> Refusal:
            which = asked("", stage)
            for fingerprint, envelope, question in opened:
                # The worker hashes what reaches it, and a question may be large.
                which = asked(fingerprint, stage, digest_of(question), envelope)
            return self._receipts.refuse(refusal, which)

        return answer_or_refuse(self.log, stage, answer, note)

    def _worker(self, fingerprint: str, run: str) -> Worker:
        found = self.asked(fingerprint)
        worker = self._workers.pop((fingerprint, run), None)
        if worker is None:
            while len(self._workers) >= KEPT:
                del self._workers[next(iter(self._workers))]
            # The folder is opened anew: a new run sees the site's cohort as it is now.
            site = SiteFolder.open(self.site.path)
            context = SiteContext(site, found.study, run, self.cores, self.keys, found.family)
            worker = Worker(context, self._receipts.ledger)
        self._workers[fingerprint, run] = worker
        return worker


def _alone(study_of: Callable[[str], Study], fingerprint: str) -> Asked:
    return Asked(study_of(fingerprint))


def _fingerprint(question: RecordDict) -> str:
    content = question.get("fields")
    found = content.get("fingerprint") if isinstance(content, ConfigRecord) else None
    if not isinstance(found, str):
        raise RunError("A question came that names no study.")
    return found
