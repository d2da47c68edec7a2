"""The sites of a run, by name: put a question to them, and say who is missing and why.

A question is settled when every site has answered, or when the study's deadline has passed and its
quorum holds. A site that missed a question is named, is not waited for again until it answers,
and is taken back as soon as it does.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from threading import Event
from typing import TypeVar

from flwr.app import RecordDict

from common.course import describe, details_of, exchange_of
from common.errors import Interrupted, RunError
from common.messages import Hidden, Question, Refusal
from common.question_kinds import ANSWERS
from common.records import Envelope, from_answer, record_bytes, sealed, to_record
from common.secure_sum.session import Announcement
from common.statistics.checks import StatisticsError
from harmonization import HarmonizationError
from server.delivery import Delivery, Post
from server.directory import Directory, Present
from server.firewall import Implausible
from server.journal import Answers, Exchange
from server.patience import Patience
from server.run import RunFolder

Answer = TypeVar("Answer")
Watch = Callable[[str, str], None]
Check = Callable[[str, Answer], None]
"""Raises `Implausible` over a site's answer that must not count."""
Judge = Callable[[Answers[Answer]], dict[str, str]]
"""Says which answers are of no use beside the others, and why, by site."""

GRACE_SECONDS = 5.0
"""How long a site that was late before is given once all others have answered."""
COME_BACK = frozenset({"worker-unreachable"})
"""Refusals that say nothing about the question: it is asked again."""


class Federation:
    """The sites of one run. `ask` puts one question to several of them."""

    def __init__(
        self, grid: Post, run: RunFolder, directory: Directory, watch: Watch, stop: Event
    ) -> None:
        self.grid = grid
        self.run = run
        self.directory = directory
        self.watch = watch
        self.stop = stop
        self.late: set[str] = set()
        self._patience = Patience()
        self._returned: set[str] = set()
        self._overdue: dict[str, tuple[str, Present | None]] = {}

    def ask(
        self,
        question: Question,
        sites: Sequence[str],
        kind: type[Answer],
        check: Check[Answer] | None = None,
        judge: Judge[Answer] | None = None,
        announced: tuple[Announcement, ...] = (),
        attempt: int = 1,
    ) -> Answers[Answer]:
        """Put a question to the named sites; the answers of those that count, in the order given.

        What was answered before the run was interrupted is not asked again. For answers under
        masks, `announced` holds the session keys of the sites, and `attempt` counts the sets of
        sites to which the question was put.

        Raises
        ------
        RunError
            The study's quorum does not hold; each missing site is named with its reason.
        Interrupted
            The run was asked to stop.
        """
        self._end_if_stopped()
        if kind not in (ANSWERS[question.stage], Hidden):
            raise TypeError(f"{kind.__name__} does not answer the stage {question.stage}")
        record = to_record(question)
        name = exchange_of(question)
        exchange = Exchange.open(self.run.journal, name, record, announced, attempt)
        settled = exchange.outcome()
        if settled is None:
            self._say_asking(question, attempt, sites)
            letter = sealed(record, Envelope(self.run.identity, name, announced))
            settled = self._settle(question, letter, exchange, sites, kind, check, judge)
        self.watch(question.stage, describe(question))
        return Answers(exchange.folder, kind, *settled)

    def forget(self, question: Question) -> None:
        """Remove the answers to a question: what was made of them is kept elsewhere."""
        Exchange.forget(self.run.journal, exchange_of(question))

    def ready(self, sites: Sequence[str]) -> tuple[list[str], list[str]]:
        """Say which sites can answer now, and which of them were away and came back."""
        if self.late.intersection(sites):
            present = self.directory.present()
            busy = self._busy(present)
            here = {one for one in self.late & set(sites) if one in present and one not in busy}
            self.late -= here
            self._returned |= here
        back = [site for site in sites if site in self._returned]
        self._returned.difference_update(back)
        return [site for site in sites if site not in self.late], back

    def settled(self, question: Question, attempt: int = 1) -> bool:
        """Say whether it is decided whose answers to a question count, so that nobody is asked."""
        exchange = Exchange.at(self.run.journal, exchange_of(question), attempt)
        return exchange.outcome() is not None

    def _settle(
        self,
        question: Question,
        letter: RecordDict,
        exchange: Exchange,
        sites: Sequence[str],
        kind: type[Answer],
        check: Check[Answer] | None,
        judge: Judge[Answer] | None,
    ) -> tuple[list[str], dict[str, str]]:
        """Wait for the answers and decide who counts."""
        started = time.monotonic()
        alike = f"{question.stage} {details_of(question).get('step', '')}"
        self._hear_the_overdue()
        done = exchange.answered(sites)
        delivery = Delivery(
            self.grid,
            self.directory,
            letter,
            f"query.{question.stage}",
            [site for site in sites if site not in done],
            lambda: self._wait(self._patience.pause(alike, time.monotonic() - started)),
            self._busy,
        )
        received: dict[str, int] = {}
        seconds: dict[str, float] = {}
        refused: dict[str, str] = {}
        deadline = started + self.run.study.deadline(question.stage)
        answers = delivery.answers(deadline, self._nobody_to_wait_for(delivery, exchange, sites))
        for site, content in answers:
            outcome = _read(content, kind)
            if isinstance(outcome, Refusal) and outcome.code in COME_BACK:
                delivery.again(site, outcome.public)
                continue
            seconds[site] = round(time.monotonic() - started, 3)
            received[site] = record_bytes(content)
            self.late.discard(site)
            if isinstance(outcome, Refusal):
                refused[site] = f"{outcome.public} ({outcome.code})"
            elif reason := _why_implausible(site, outcome, check):
                refused[site] = f"quarantined: {reason}"
            else:
                exchange.keep(site, outcome)
            if site in refused:
                # The others may take an hour yet: whoever watches should not wait as long.
                self.run.event(event="refused", stage=question.stage, **details_of(question),
                               site=site, reason=refused[site])  # fmt: skip
        if seconds:
            self._patience.learn(alike, min(seconds.values()))
        missing = refused | delivery.failed | self._overdue_of(delivery)
        counted = exchange.answered(sites)
        quarantined: dict[str, str] = {}
        if judge is not None and counted:
            quarantined = judge(Answers(exchange.folder, kind, counted, missing))
            for site in quarantined:
                exchange.drop(site)
                quarantined[site] = f"quarantined: {quarantined[site]}"
        counted = [site for site in counted if site not in quarantined]
        missing |= quarantined
        sent = record_bytes(letter)
        self.run.event(
            event="asked",
            stage=question.stage,
            **details_of(question),
            seconds=round(time.monotonic() - started, 3),
            sites={
                site: {
                    "received_bytes": sent * delivery.posted.get(site, 0),
                    "sent_bytes": received.get(site, 0),
                    "seconds": seconds.get(site),
                }
                for site in delivery.sites
            },
            failures=missing,
        )
        self.require_quorum(question, sites, counted, missing)
        exchange.settle(counted, missing)
        return counted, missing

    def _say_asking(self, question: Question, attempt: int, sites: Sequence[str]) -> None:
        """Tell whoever watches what is asked of whom, and how long they have."""
        self.run.event(
            event="asking",
            stage=question.stage,
            **details_of(question),
            attempt=attempt,
            deadline=self.run.study.deadline(question.stage),
            sites=list(sites),
        )

    def _nobody_to_wait_for(
        self, delivery: Delivery, exchange: Exchange, sites: Sequence[str]
    ) -> Callable[[], bool]:
        """Say when to stop: only sites that were late before are open, and have had their grace."""
        since: list[float] = []

        def enough() -> bool:
            if not set(delivery.open) <= self.late:
                return False
            if self._lacking(sites, exchange.answered(sites)):
                return False
            if not any(letter.message for letter in delivery.open.values()):
                return True
            since.append(time.monotonic())
            return since[-1] - since[0] > GRACE_SECONDS

        return enough

    def _overdue_of(self, delivery: Delivery) -> dict[str, str]:
        """Note which sites still owe an answer, and why."""
        for site, letter in delivery.open.items():
            self.late.add(site)
            self._returned.discard(site)
            if letter.message:
                self._overdue[letter.message] = (site, letter.to)
        return {site: letter.reason for site, letter in delivery.open.items()}

    def _hear_the_overdue(self) -> None:
        """Take back the sites that meanwhile answered a question which is settled."""
        for message, (site, _) in list(self._overdue.items()):
            for reply in self.grid.pull_messages([message]):
                del self._overdue[message]
                if not reply.has_error() and site in self.late:
                    self.late.remove(site)
                    self._returned.add(site)

    def _busy(self, present: Mapping[str, Present]) -> set[str]:
        """Name the sites that still work on a question which is settled.

        They are not given the next one meanwhile: a site that is slower than the deadline would
        work through questions of which each is settled when it comes to it. A node that started
        anew works on nothing.
        """
        self._hear_the_overdue()
        for message, (site, to) in list(self._overdue.items()):
            if present.get(site, to) != to:
                del self._overdue[message]
        return {site for site, _ in self._overdue.values()}

    def _lacking(self, sites: Sequence[str], counted: Sequence[str]) -> str:
        """Say what the quorum lacks; empty if it holds."""
        study = self.run.study
        training = [name for name in counted if name in study.training_sites]
        if set(sites) & set(study.training_sites):
            if len(training) < study.least_sites:
                return f"{len(training)} training sites answered, at least {study.least_sites} must"
        elif not counted:
            return "no site answered"
        absent = [name for name in study.mandatory_sites if name in sites and name not in counted]
        return f"without {', '.join(absent)} it must not go on" if absent else ""

    def require_quorum(
        self,
        question: Question,
        sites: Sequence[str],
        counted: Sequence[str],
        missing: Mapping[str, str],
    ) -> None:
        """See that the study's quorum holds, and say who is missing.

        Raises
        ------
        RunError
            It does not; each missing site is named with its reason.
        """
        lacking = self._lacking(sites, counted)
        if lacking:
            listed = "; ".join(f"{site}: {reason}" for site, reason in sorted(missing.items()))
            raise RunError(
                f"The quorum of the study does not hold in the stage {question.stage}: {lacking}. "
                f"{listed}",
                "The log of the site says more. Correct it, then resume the run: it goes on where "
                "it stopped.",
            )
        for site, reason in sorted(missing.items()):
            self.watch(question.stage, f"without {site}: {reason}")

    def _wait(self, seconds: float) -> None:
        self.stop.wait(seconds)
        self._end_if_stopped()

    def _end_if_stopped(self) -> None:
        if self.stop.is_set():
            raise Interrupted


def _why_implausible(site: str, answer: Answer, check: Check[Answer] | None) -> str:
    try:
        if check is not None:
            check(site, answer)
    except (Implausible, StatisticsError, HarmonizationError) as error:
        return str(error)
    return ""


def _read(content: RecordDict, kind: type[Answer]) -> Answer | Refusal:
    try:
        return from_answer(kind, content)
    except RunError as error:
        return Refusal("answer-malformed", str(error))
