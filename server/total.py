"""One question whose answers are needed as their sum only: under masks, or added up as they came.

Under masks the sum can be read only if all sites of the question answer. If one does not, the
others are asked again for a sum without it, with masks of their own; never below the study's
minimum, and only as often as the study allows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from common.course import exchange_of
from common.errors import MyoFedError, RunError
from common.messages import EnrolAnswer, Hidden, Question
from common.secure_sum.adding import Adding, require_layout
from common.secure_sum.layout import NotSummable
from common.statistics.checks import StatisticsError
from harmonization import HarmonizationError
from server.federation import Federation, Judge
from server.firewall import Implausible
from server.journal import Answers
from server.plain_sum import plain_sum
from server.roster import Roster
from server.sum_sets import SETS_FILE, SumSets

Answer = TypeVar("Answer")
Check = Callable[[EnrolAnswer, Answer], None]
"""Raises `Implausible` over an answer, or a sum of answers, of who enrolled so."""

UNFIT = "is not what it was when the run began"
"""Why a site is not asked that the question was put to before the run was gone on with."""


@dataclass(frozen=True)
class Total(Generic[Answer]):
    """The sum of the answers, and of which sites, in the order of the roster."""

    answer: Answer
    sites: tuple[str, ...]


def total(
    federation: Federation,
    question: Question,
    roster: Roster,
    sites: Sequence[str],
    kind: type[Answer],
    check: Check[Answer],
    judge: Judge[Answer] | None = None,
) -> Total[Answer]:
    """Put a question to the named sites, and give the sum of their answers.

    Parameters
    ----------
    check
        Of each answer where they are seen, and of their sum where they are not.
    judge
        Compares the answers with each other; only where they are seen.

    Raises
    ------
    RunError
        The quorum does not hold, the set of sites may not change again, or the sum cannot be right.
    Interrupted
        The run was asked to stop.
    """
    if federation.run.study.secure_sum.enabled:
        return _hidden(federation, question, roster, sites, kind, check)
    answers = federation.ask(
        question, sites, kind, lambda site, one: check(roster.answers[site], one), judge
    )
    return Total(plain_sum(kind, answers.values()), tuple(answers))


def _hidden(
    federation: Federation,
    question: Question,
    roster: Roster,
    sites: Sequence[str],
    kind: type[Answer],
    check: Check[Answer],
) -> Total[Answer]:
    run, exchange = federation.run, exchange_of(question)
    sets = SumSets(run.path / SETS_FILE, run.study)
    members = sets.first(exchange, sites, *federation.ready(sites))
    while True:
        attempt = sets.asked(exchange)
        unfit = {one: UNFIT for one in members if one not in sites}
        if unfit and not federation.settled(question, attempt):
            left = tuple(one for one in members if one not in unfit)
            federation.require_quorum(question, members, left, unfit)
            members = sets.next(exchange, left, unfit)
            continue
        answers = federation.ask(
            question,
            members,
            Hidden,
            check=_check_form,
            judge=_unlike_most,
            announced=roster.announced(members),
            attempt=attempt,
        )
        if tuple(answers) == members:
            return Total(_sum(answers, question, roster, kind, check), members)
        members = sets.next(exchange, tuple(answers), answers.missing)


def _sum(
    answers: Answers[Hidden],
    question: Question,
    roster: Roster,
    kind: type[Answer],
    check: Check[Answer],
) -> Answer:
    adding = Adding()
    try:
        for answer in answers.values():
            adding.add(answer)
        found = adding.total(kind)
        check(roster.pooled(tuple(answers)), found)
    except (Implausible, StatisticsError, HarmonizationError, MyoFedError) as error:
        raise RunError(
            f"The sum of {exchange_of(question)} over {', '.join(answers)} cannot be right: "
            f"{str(error).rstrip('.')}.",
            "Secure summation hides whose answer is wrong. Each site's log says what it made of "
            "the question; begin a new run when the site is found.",
        ) from None
    return found


def _check_form(_: str, answer: Hidden) -> None:
    try:
        require_layout(answer)
    except NotSummable as error:
        raise Implausible(error.what) from None


def _unlike_most(answers: Mapping[str, Hidden]) -> dict[str, str]:
    layouts = {site: answer.layout for site, answer in answers.items()}
    usual = Counter(layouts.values()).most_common(1)[0][0]
    return {
        site: "its answer has another layout than those of the others"
        for site, own in layouts.items()
        if own != usual
    }
