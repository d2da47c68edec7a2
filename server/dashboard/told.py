"""What the events of a run have told so far, kept as they come so that none is read twice."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from server.dashboard.advice import kind_of
from server.network.runs import LIFE, words

Event = Mapping[str, Any]
PACED = ("search", "train")
"""Stages whose questions are alike and of a known number."""
REMEMBERED = 20
"""Answers of a site, and rounds of a run, over which medians are taken."""


@dataclass
class Trouble:
    """A site that did not answer, at one or several questions in a row; `reason` is the last."""

    site: str
    reason: str
    stage: str
    first: str
    since: float
    last: str
    until: float
    times: int = 1
    over: bool = False


@dataclass
class SiteTold:
    """What the events say of one site.

    `shown` is the stage whose seconds and bytes are shown: training, once there was some.
    """

    last_answer: float | None = None
    shown: str = ""
    seconds: dict[str, deque[float]] = field(default_factory=dict)
    sent: int | None = None
    received: int | None = None
    sent_in_all: int = 0
    received_in_all: int = 0
    missed: int = 0
    trouble: Trouble | None = None


@dataclass
class StageTold:
    """What the events say of one stage; `places` are questions that differ from the one before."""

    began: float | None = None
    seconds: float = 0.0
    questions: int = 0
    places: int = 0
    ended: bool = False


@dataclass
class CurveTold:
    """The rounds of a fold that were measured."""

    rounds: list[int] = field(default_factory=list)
    training_loss: list[float | None] = field(default_factory=list)
    validation_loss: list[float | None] = field(default_factory=list)
    validation_auc: list[float | None] = field(default_factory=list)

    def take(self, number: int, measured: Event) -> None:
        """Add a round; what is no number is None."""
        self.rounds.append(number)
        for name in ("training_loss", "validation_loss", "validation_auc"):
            getattr(self, name).append(measured.get(name))


@dataclass
class Told:
    """The account of a run's events.

    Attributes
    ----------
    stages : by name, in the order in which they began
    question : the event of the question that is under way
    paces : ends of the last questions of the paced stage that is on, and when it began or went on
    rounds : rounds of training that were settled, by fold
    settled : the last question that was settled, by stage; the latest one is the last
    """

    life: list[Event] = field(default_factory=list)
    stages: dict[str, StageTold] = field(default_factory=dict)
    sites: defaultdict[str, SiteTold] = field(default_factory=lambda: defaultdict(SiteTold))
    troubles: list[Trouble] = field(default_factory=list)
    curves: dict[int, CurveTold] = field(default_factory=dict)
    site_curves: dict[str, dict[int, CurveTold]] = field(default_factory=dict)
    looks: Counter[str] = field(default_factory=Counter)
    rounds: dict[int, int] = field(default_factory=dict)
    paces: deque[float] = field(default_factory=lambda: deque(maxlen=REMEMBERED + 1))
    question: Event | None = None
    settled: dict[str, Event] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    messages: int = 0
    last: float | None = None
    current: str = ""

    def take(self, event: Event) -> None:
        """Take in one event; one of an unknown kind says nothing."""
        when = epoch(event.get("time"))
        if when is not None:
            self.last = when
        kind, stage = event.get("event"), str(event.get("stage", ""))
        if kind in LIFE:
            self.life.append(event)
            self.question = None
        elif kind == "stage-began":
            self._began(stage, when)
        elif kind == "stage":
            self._ended(stage, float(event.get("seconds", 0.0)))
        elif kind == "asking":
            self.question, self.refused = event, {}
        elif kind == "refused":
            self.refused[str(event["site"])] = str(event["reason"])
        elif kind == "asked" and when is not None:
            self._asked(event, stage, when)
        elif kind == "measured":
            self._measured(event)
        elif kind == "looked":
            self.looks[str(event["site"])] += 1

    def _began(self, stage: str, when: float | None) -> None:
        own = self.stages.setdefault(stage, StageTold())
        own.began, own.ended = when, False
        self.current = stage
        # The time between two rounds with an interruption between them says nothing of a round.
        self.paces.clear()
        if stage in PACED and when is not None:
            self.paces.append(when)

    def _ended(self, stage: str, seconds: float) -> None:
        own = self.stages.setdefault(stage, StageTold())
        own.seconds += seconds
        own.ended = True

    def _asked(self, event: Event, stage: str, when: float) -> None:
        self.messages += 1
        self.question, self.refused = None, {}
        before = self.settled.pop(stage, {})
        self.settled[stage] = event
        own_stage = self.stages.setdefault(stage, StageTold())
        own_stage.questions += 1
        failures: Mapping[str, str] = event.get("failures", {})
        # A question that is put again to other sites is still the same one.
        if not before or words(dict(before)) != words(dict(event)):
            own_stage.places += 1
            if stage in PACED:
                self.paces.append(when)
        if stage == "train" and "fold" in event:
            self.rounds[event["fold"]] = int(event["round"])
        for site, own in event.get("sites", {}).items():
            self._traffic(site, own, stage, when - float(event["seconds"]))
            if own.get("seconds") is not None and site not in failures:
                self._is_well(site, when)
        for site, reason in failures.items():
            self._missed(site, reason, stage, words(dict(event)), when)

    def _traffic(self, name: str, event: Event, stage: str, asked_at: float) -> None:
        site = self.sites[name]
        site.received_in_all += event.get("received_bytes", 0)
        site.sent_in_all += event.get("sent_bytes", 0)
        if event.get("seconds") is None:
            return
        site.last_answer = asked_at + event["seconds"]
        if stage == "train" or site.shown != "train":
            site.received, site.sent = event.get("received_bytes"), event.get("sent_bytes")
            site.shown = stage
        site.seconds.setdefault(stage, deque(maxlen=REMEMBERED)).append(event["seconds"])

    def _is_well(self, name: str, when: float) -> None:
        trouble = self.sites[name].trouble
        if trouble is not None:
            trouble.over, trouble.until = True, when
            self.sites[name].trouble = None

    def _missed(self, name: str, reason: str, stage: str, where: str, when: float) -> None:
        site = self.sites[name]
        site.missed += 1
        before = site.trouble
        if before is not None and _is_the_same(before, reason, stage):
            before.reason, before.last, before.until = reason, where, when
            before.times += 1
            return
        if before is not None:
            before.over = True
        site.trouble = Trouble(name, reason, stage, where, when, where, when)
        self.troubles.append(site.trouble)

    def _measured(self, event: Event) -> None:
        fold, number = int(event["fold"]), int(event["round"])
        self.curves.setdefault(fold, CurveTold()).take(number, event)
        for site, own in event.get("sites", {}).items():
            self.site_curves.setdefault(site, {}).setdefault(fold, CurveTold()).take(number, own)


def _is_the_same(before: Trouble, reason: str, stage: str) -> bool:
    """Say whether a site's trouble goes on. Who is gone is late first: that is one trouble."""
    if {kind_of(before.reason), kind_of(reason)} <= {"gone", "late"}:
        return True
    return (before.reason, before.stage) == (reason, stage)


def epoch(text: object) -> float | None:
    """Read an ISO time as seconds since 1970; None for what is none."""
    try:
        return datetime.fromisoformat(str(text)).timestamp()
    except ValueError:
        return None
