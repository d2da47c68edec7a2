"""What a site has answered in a run so far: nothing twice, and nothing out of turn.

The same question may come again, word for word: its answer may have been lost on the way. Questions
may be left out, for a site that was away. But the coordinator cannot go back, nor ask another
question in the place of one that was answered.
"""

from __future__ import annotations

import json

from client.context import SiteContext
from common.course import OffCourse, Position, exchange_of, position
from common.files import write_json
from common.messages import EnrolQuestion, Question

ANSWERED_FILE = "answered.json"


def require_in_turn(question: Question, digest: str, exchange: str, context: SiteContext) -> None:
    """See that a question is the study's and in turn.

    Parameters
    ----------
    digest
        Of the question, hexadecimal.
    exchange
        Its place in the run, as its envelope says.

    Raises
    ------
    OffCourse
        It is not a question of the study, lies behind one that was answered before, or differs from
        the one that was answered in its place.
    """
    now = position(question, context.study)
    if exchange != exchange_of(question):
        raise OffCourse(
            f"A question {exchange_of(question)} came in an envelope that says {exchange}.",
            "Somebody between the coordinator and this site changes messages, or it is faulty.",
        )
    path = context.memory.folder / ANSWERED_FILE
    if isinstance(question, EnrolQuestion) or not path.exists():
        return
    held = json.loads(path.read_text(encoding="utf-8"))
    last: Position = tuple(held["position"])
    if now < last:
        raise OffCourse(
            f"{exchange} was asked after a later question of the run {context.run}.",
            "The coordinator must not go back. Begin a new run.",
        )
    if now == last and digest != held["digest"]:
        raise OffCourse(
            f"{exchange} was asked a second time in the run {context.run}, with another content.",
            "The coordinator must not ask twice. Begin a new run.",
        )


def remember(question: Question, digest: str, context: SiteContext) -> None:
    """Write down that a question is answered now, before its answer leaves."""
    if isinstance(question, EnrolQuestion):
        return
    now = {"position": list(position(question, context.study)), "digest": digest}
    write_json(context.memory.folder / ANSWERED_FILE, now)
