"""Receipts: whatever the worker hands out is checked by the guard, and written down first.

In a simulation nothing leaves the machine, so there is a guard and no ledger.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from client.context import SiteContext
from client.egress.entry import Asked, Entry, plain
from client.egress.guard import check, check_hidden, check_refusal
from client.egress.ledger import Ledger
from client.egress.patients import Patients
from client.worker.hiding import hidden
from common.errors import MyoFedError
from common.messages import Question, Refusal
from common.records import Envelope


def asked(study: str, stage: str, digest: str = "", envelope: Envelope | None = None) -> Asked:
    """Say which question it was, in texts that a stranger cannot abuse.

    Parameters
    ----------
    study
        The fingerprint that the question bears.
    digest
        Of the question, hexadecimal.
    """
    if envelope is None:
        return Asked(plain(study), stage=plain(stage))
    sites = tuple(plain(one.site) for one in envelope.announced)
    return Asked(plain(study), envelope.run, plain(stage), envelope.exchange, digest, sites)


@dataclass(frozen=True)
class Receipts:
    """Lets answers and refusals out, each with its line in the ledger."""

    ledger: Ledger | None
    log: logging.Logger

    def let_out(
        self, question: Question, answer: object, context: SiteContext, envelope: Envelope,
        digest: str,
    ) -> object:  # fmt: skip
        """Give what leaves in the place of an answer: itself, or what hides it.

        Raises
        ------
        EgressRefused
            The answer holds what its stage may not send.
        LedgerFailed
            It could not be written down, so it does not leave.
        MyoFedError
            The coordinator asks for a sum that this site must not take part in.
        """
        study, rows = context.study, context.rows
        patients = Patients.of(rows, study.folds)
        passed = check(study, question, answer, patients, rows.features.shape[1])
        leaves = answer
        if passed.to_hide:
            leaves = hidden(answer, digest, envelope, context)
            passed = check_hidden(passed, leaves)
        if self.ledger is not None:
            which = asked(study.fingerprint, question.stage, digest, envelope)
            self.ledger.record(Entry.of(passed, which))
        return leaves

    def refuse(self, refusal: Refusal, which: Asked) -> Refusal:
        """Give the refusal that leaves, once it is written down."""
        if self.ledger is None:
            return refusal
        try:
            self.ledger.record(Entry.of(check_refusal(refusal), which))
        except MyoFedError as error:
            # A fixed sentence is all that leaves without its line, where no line can be written.
            self.log.error("ledger: %s", error)
            return Refusal(error.code, error.public)
        return refusal
