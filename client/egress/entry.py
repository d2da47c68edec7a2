"""An entry of the ledger: what is to be written down of an answer, a refusal or an approval."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from client.egress.passed import Field, Passed

Kind = Literal["answer", "refusal", "approval", "revocation"]

_LONGEST = 100


@dataclass(frozen=True)
class Asked:
    """Which question of which run: texts as they came, empty where they are not known.

    Attributes
    ----------
    study
        The study's fingerprint.
    exchange
        The question's place in the run, for example ``train.0.7``.
    question
        SHA-256 (hex) of all that was asked.
    sites
        Who takes part in the sum, where the answer is under masks.
    """

    study: str
    run: str = ""
    stage: str = ""
    exchange: str = ""
    question: str = ""
    sites: tuple[str, ...] = ()


@dataclass(frozen=True)
class Entry:
    """What is written down; the ledger adds number, time, hashes and signature."""

    kind: Kind
    asked: Asked
    rule: str = ""
    fields: tuple[Field, ...] = ()
    code: str = ""
    sentence: str = ""

    @classmethod
    def of(cls, passed: Passed, asked: Asked) -> Entry:
        """Make the entry of an answer or a refusal that the guard let pass.

        Raises
        ------
        ValueError
            It may leave under masks only, and this is not yet what leaves.
        """
        if passed.to_hide:
            raise ValueError("The plain answer does not leave: pass what is under masks.")
        return cls(passed.kind, asked, passed.rule, passed.fields, passed.code, passed.sentence)

    @classmethod
    def approval(cls, study: str) -> Entry:
        """Make the entry of a study (its fingerprint) that the site approved."""
        return cls("approval", Asked(study))

    @classmethod
    def revocation(cls, study: str) -> Entry:
        """Make the entry of a study whose approval the site withdrew."""
        return cls("revocation", Asked(study))


def plain(text: str) -> str:
    """Make any text fit for a line of the ledger: printable ASCII, at most 100 characters.

    A question may come from a stranger, who must neither fill the disk nor write to the screen of
    who reads the ledger.
    """
    return re.sub(r"[^ -~]", "?", text[:_LONGEST])
