"""The worker: questions in, answers out, nothing else.

It checks that a question belongs to the approved study and is in turn, lets the stage answer, and
hands out what the guard lets pass, once it is written down. Every failure becomes a refusal that
holds a code and a fixed sentence; the detail goes to the site's own log.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from flwr.app import RecordDict

from client.context import SiteContext
from client.egress.ledger import Ledger
from client.private import calibrate as private_calibrate
from client.private import fuse as private_fuse
from client.private import harmonize as private_harmonize
from client.private import train as private_train
from client.stages import (
    calibrate,
    card,
    compare,
    describe,
    enrol,
    fuse,
    harmonize,
    search,
    train,
    validate,
)
from client.worker.course import remember, require_in_turn
from client.worker.receipts import Receipts, asked
from client.worker.refused import answer_or_refuse
from common.errors import RunError, StudyMismatch, WrongUse
from common.messages import EnrolQuestion, Question
from common.question_kinds import QUESTIONS
from common.records import Envelope, digest_of, from_record, to_record
from common.study import Study

STAGES: dict[str, Callable[[Any, SiteContext], Any]] = {
    "enrol": enrol.answer,
    "describe": describe.answer,
    "harmonize": harmonize.answer,
    "search": search.answer,
    "train": train.answer,
    "fuse": fuse.answer,
    "calibrate": calibrate.answer,
    "compare": compare.answer,
    "card": card.answer,
    "validate": validate.answer,
}

PRIVATE_STAGES: dict[str, Callable[[Any, SiteContext], Any]] = {
    "harmonize": private_harmonize.answer,
    "fuse": private_fuse.answer,
    "calibrate": private_calibrate.answer,
}
"""Where privacy covers everything, what answers in the place of a stage; training is one too."""

EXTERNAL_STAGES = ("enrol", "describe", "validate")
"""All that an external site answers: nothing of it enters a model."""


def stages_of(study: Study) -> dict[str, Callable[[Any, SiteContext], Any]]:
    """Say what answers each stage of a study."""
    found = dict(STAGES)
    if study.privacy.on:
        found["train"] = private_train.answer
    if study.privacy.everything:
        found |= PRIVATE_STAGES
    return found


class Worker:
    """Answers one study's questions for one site, in one run.

    Without a `ledger` nothing is written down: for a simulation only.
    """

    def __init__(self, context: SiteContext, ledger: Ledger | None = None) -> None:
        self.context = context
        self.log = logging.getLogger(f"myofed.site.{context.site.name}")
        self._receipts = Receipts(ledger, self.log)
        self._enrolled = False

    def ask(self, stage: str, record: RecordDict, envelope: Envelope) -> RecordDict:
        """Answer a question; never raises but for Ctrl-C."""
        digest = digest_of(record)
        which = asked(self.context.study.fingerprint, stage, digest, envelope)
        return answer_or_refuse(
            self.log,
            stage,
            lambda: to_record(self._answer(stage, record, digest, envelope)),
            lambda refusal: self._receipts.refuse(refusal, which),
        )

    def _answer(self, stage: str, record: RecordDict, digest: str, envelope: Envelope) -> object:
        if stage not in STAGES:
            raise WrongUse(f"There is no stage '{stage}'.", f"Stages: {', '.join(STAGES)}.")
        question: Question = from_record(QUESTIONS[stage], record)
        approved = self.context.study.fingerprint
        if question.fingerprint != approved:
            raise StudyMismatch(
                f"The question is of study {question.fingerprint[:12]}, and this site approved "
                f"{approved[:12]}.",
                "Compare the study files; approve the new one if you agree to it.",
            )
        if self.context.external and stage not in EXTERNAL_STAGES:
            raise RunError(
                f"Site {self.context.site.name} is external and was asked for the stage {stage}.",
                f"Ask external sites only to {' and '.join(EXTERNAL_STAGES)}.",
            )
        require_in_turn(question, digest, envelope.exchange, self.context)
        if not self._enrolled and stage != EnrolQuestion.stage:
            enrol.require_as_enrolled(self.context)
        found = stages_of(self.context.study)[stage](question, self.context)
        self._enrolled = True
        remember(question, digest, self.context)
        return self._receipts.let_out(question, found, self.context, envelope, digest)
