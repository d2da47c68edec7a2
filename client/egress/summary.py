"""What left a site, added up by study and run: how often, how much, by which rule."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from client.egress.line import Line


@dataclass
class RuleUse:
    """How often answers left by a rule, with how many fields and bytes, from when to when."""

    rule: str
    answers: int = 0
    fields: int = 0
    bytes: int = 0
    first: str = ""
    last: str = ""

    def add(self, line: Line) -> None:
        """Count one answer."""
        self.answers += 1
        self.fields += len(line.fields)
        self.bytes += line.size
        self.first = self.first or line.time
        self.last = line.time


@dataclass
class RunSummary:
    """What left in a run of a study.

    `refusals` counts them by stage, code and sentence.
    """

    study: str
    run: str
    rules: dict[str, RuleUse] = field(default_factory=dict)
    refusals: Counter[tuple[str, str, str]] = field(default_factory=Counter)

    def add(self, line: Line) -> None:
        """Count one line of this run."""
        if line.kind == "refusal":
            self.refusals[line.stage, line.code, line.sentence] += 1
        else:
            self.rules.setdefault(line.rule, RuleUse(line.rule)).add(line)


@dataclass(frozen=True)
class Summary:
    """All runs, in the order in which they began; and the studies' approvals, line by line."""

    runs: tuple[RunSummary, ...]
    approvals: tuple[Line, ...]

    @property
    def answers(self) -> int:
        """How many answers left."""
        return sum(use.answers for run in self.runs for use in run.rules.values())

    @property
    def bytes(self) -> int:
        """How many bytes left in answers."""
        return sum(use.bytes for run in self.runs for use in run.rules.values())

    @property
    def refusals(self) -> int:
        """How many questions were refused."""
        return sum(run.refusals.total() for run in self.runs)


def summary_of(lines: Iterable[Line]) -> Summary:
    """Add up the lines of a ledger; they are read one at a time."""
    runs: dict[tuple[str, str], RunSummary] = {}
    approvals: list[Line] = []
    for line in lines:
        if line.kind in ("approval", "revocation"):
            approvals.append(line)
        else:
            key = (line.study, line.run)
            runs.setdefault(key, RunSummary(*key)).add(line)
    return Summary(tuple(runs.values()), tuple(approvals))
