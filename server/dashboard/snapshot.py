"""A run as it stands at one moment: what page, terminal and metrics show, and nothing else.

Times are seconds since 1970 (UTC), durations seconds, sizes bytes. None stands for what nobody at
the coordinator knows.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

RunState = Literal["running", "starting", "finished", "failed", "stopped", "interrupted"]
SiteState = Literal[
    "online", "working", "late", "quarantined", "refused", "gone", "done", "unknown"
]


@dataclass(frozen=True)
class StageNow:
    """One stage: `questions` were settled of `of`, where their number is known beforehand."""

    name: str
    state: Literal["done", "now", "next"]
    questions: int
    of: int | None
    seconds: float
    began: float | None


@dataclass(frozen=True)
class QuestionNow:
    """The question that is under way: who was asked, who has answered, until when they may."""

    stage: str
    words: str
    since: float
    deadline: float
    asked: tuple[str, ...]
    answered: tuple[str, ...]


@dataclass(frozen=True)
class Left:
    """How long is left; `low` and `high` differ where rounds of this run were measured.

    Attributes
    ----------
    covers : the stages that it is about
    paced : the stage whose `questions` are left at the pace of the last `measured`; empty if none
    like : the earlier run of the same protocol that the other stages are taken from; empty if none
    uncounted : stages to come that nothing is known of
    """

    low: float
    high: float
    covers: tuple[str, ...]
    paced: str
    questions: int
    measured: int
    like: str
    uncounted: tuple[str, ...]


@dataclass(frozen=True)
class Patients:
    """Patients per class, as a site enrolled."""

    positive: int
    negative: int
    slices: int


@dataclass(frozen=True)
class SiteNow:
    """One site of the roster.

    Attributes
    ----------
    note, fix : what is the matter with it and what to do, both empty where nothing is
    seconds, usual, sent, received : seconds and bytes of its last round of training, and the median
        of the last ones; of its last answer, if it has not trained
    missed : questions of this run that it did not answer, or whose answer did not count
    """

    name: str
    role: Literal["train", "external"]
    state: SiteState
    note: str
    fix: str
    patients: Patients | None
    versions: dict[str, str]
    last_answer: float | None
    seconds: float | None
    usual: float | None
    sent: int | None
    received: int | None
    sent_in_all: int
    received_in_all: int
    missed: int


@dataclass(frozen=True)
class Curve:
    """How the network of one fold did after each round, over all training sites or at one."""

    fold: int
    rounds: tuple[int, ...]
    training_loss: tuple[float | None, ...]
    validation_loss: tuple[float | None, ...]
    validation_auc: tuple[float | None, ...]


@dataclass(frozen=True)
class Failure:
    """Something that went wrong; `over` when it does not matter any more.

    `where` says in words at which questions, `times` how many they were.
    """

    site: str
    what: str
    fix: str
    where: str
    since: float
    until: float
    times: int
    over: bool


@dataclass(frozen=True)
class QuorumNow:
    """Who must answer: so many training sites, and these by name; how many answered last."""

    least: int
    mandatory: tuple[str, ...]
    answered: int | None
    training_sites: int


@dataclass(frozen=True)
class PrivacyNow:
    """What was promised to each training patient, and what of it is spent so far."""

    epsilon: float
    spent: float
    delta: float
    covers: str


@dataclass(frozen=True)
class SumsNow:
    """How often the set of sites of a sum has changed, of how often the study allows it."""

    changes: int
    allowed: int


@dataclass(frozen=True)
class Snapshot:
    """A run at the time `at`.

    `hidden` says why nothing is known of single sites' loss and AUC; empty where it is.
    """

    at: float
    identity: str
    study: str
    fingerprint: str
    state: RunState
    where: str
    started: float | None
    last_event: float | None
    progress: float | None
    stages: tuple[StageNow, ...]
    question: QuestionNow | None
    left: Left | None
    sites: tuple[SiteNow, ...]
    curves: tuple[Curve, ...]
    sites_measured: tuple[str, ...]
    hidden: str
    failures: tuple[Failure, ...]
    quorum: QuorumNow | None
    privacy: PrivacyNow | None
    sums: SumsNow | None
    looks: dict[str, int]
    messages: int

    def as_dict(self) -> dict[str, Any]:
        """Give the snapshot as JSON holds it."""
        return asdict(self)
