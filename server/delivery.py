"""Carry one question to several sites, and bring the answers as they come.

Flower tells neither which site a failed message belonged to nor that a node which started anew has
lost what it was given. Here every message is kept with its site, and is sent again when its node
was away or failed, until it is answered or nobody waits for it any more.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from flwr.app import Error, Message, RecordDict
from flwr.common.constant import ErrorCode
from flwr.supercore.inflatable.inflatable_utils import ObjectPushError

from server.directory import Directory, Present

LOOK_SECONDS = 2.0
"""How often to look which sites are there."""
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
"""Seconds before a question is sent again to a site that failed; doubled at each try."""
MOST_FAILURES = 3
"""How often a site's process may fail over one question."""

UNREACHED = frozenset(
    {
        ErrorCode.NODE_UNAVAILABLE,
        ErrorCode.MESSAGE_UNAVAILABLE,
        ErrorCode.REPLY_MESSAGE_UNAVAILABLE,
    }
)
"""Failures of the way to the site: no sign that the question itself does harm."""

NOT_CONNECTED = "is not connected"
NOT_ANSWERED = "did not answer in time"
STILL_BUSY = "is still busy with an earlier question"


class Post(Protocol):
    """What carries messages: the part of Flower's Grid that is used."""

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Hand messages over; their ids, in the same order."""
        ...

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Give the answers that have come to these messages, each once."""
        ...


@dataclass
class Letter:
    """The question on its way to one site.

    Attributes
    ----------
    posted : how often it was sent
    tries : how often that brought no answer, for whatever reason
    failures : how often the site's process failed over it
    reason : why there is no answer yet
    """

    site: str
    to: Present | None = None
    message: str = ""
    posted: int = 0
    tries: int = 0
    failures: int = 0
    not_before: float = 0.0
    reason: str = NOT_CONNECTED

    def put_off(self) -> None:
        """Wait before it is sent again, longer at each try."""
        self.message = ""
        self.tries += 1
        pause = min(FIRST_PAUSE * 2.0 ** (self.tries - 1), LONGEST_PAUSE)
        self.not_before = time.monotonic() + pause


@dataclass
class Delivery:
    """One question under way.

    Attributes
    ----------
    busy : says which of the sites that are there still work on an earlier question
    open : letters not answered yet, by site
    failed : why a site will not answer this question, by site
    posted : how often the question was sent, by site
    """

    grid: Post
    directory: Directory
    record: RecordDict
    message_type: str
    sites: Sequence[str]
    pause: Callable[[], None]
    busy: Callable[[Mapping[str, Present]], Container[str]] = lambda present: ()
    open: dict[str, Letter] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    posted: dict[str, int] = field(default_factory=dict)
    _looked: float = float("-inf")

    def __post_init__(self) -> None:
        self.open = {site: Letter(site) for site in self.sites}

    def answers(self, until: float, enough: Callable[[], bool]) -> Iterator[tuple[str, RecordDict]]:
        """Give each site's answer as it comes, until all have answered or failed.

        Ends as well at the time `until` (of `time.monotonic`), or when `enough` says so.
        """
        while self.open and time.monotonic() < until and not enough():
            self._post()
            for letter in list(self.open.values()):
                if not letter.message:
                    continue
                # One at a time, so that the answers of many sites are never in memory together.
                reply = next(iter(self.grid.pull_messages([letter.message])), None)
                if reply is None:
                    continue
                if reply.has_error():
                    self._failed(letter, reply.error)
                else:
                    del self.open[letter.site]
                    yield letter.site, reply.content
            if self.open:
                self.pause()

    def again(self, site: str, reason: str) -> None:
        """Send the question to a site once more, after a pause: its answer was of no use."""
        posted = self.posted[site]
        letter = Letter(site, posted=posted, tries=posted - 1, reason=reason)
        letter.put_off()
        self.open[site] = letter

    def _post(self) -> None:
        now = time.monotonic()
        if now - self._looked < LOOK_SECONDS:
            return
        self._looked = now
        present = self.directory.present()
        busy = self.busy(present)
        due: list[tuple[Letter, Present]] = []
        for letter in self.open.values():
            seen = present.get(letter.site)
            if seen is None:
                letter.reason = NOT_CONNECTED
            elif letter.message and letter.to == seen:
                letter.reason = NOT_ANSWERED
            elif letter.site in busy:
                letter.reason = STILL_BUSY
            elif now >= letter.not_before:
                due.append((letter, seen))
        if due:
            self._send(due)

    def _send(self, due: Sequence[tuple[Letter, Present]]) -> None:
        """Send the question to several sites at once: what it holds goes to the SuperLink once."""
        messages = [Message(self.record, to.node, self.message_type) for _, to in due]
        try:
            pushed = list(self.grid.push_messages(messages))
        except ObjectPushError:
            # The SuperLink was restarted in between, and knows nothing of what was half sent.
            pushed = []
        for number, (letter, to) in enumerate(due):
            if number >= len(pushed) or not pushed[number]:
                letter.reason = "could not be reached"
                continue
            letter.to, letter.message, letter.reason = to, pushed[number], NOT_ANSWERED
            letter.posted += 1
            self.posted[letter.site] = letter.posted

    def _failed(self, letter: Letter, error: Error) -> None:
        letter.put_off()
        if error.code in UNREACHED:
            letter.reason = "lost its connection"
            return
        letter.failures += 1
        letter.reason = "has a process that failed before it could answer"
        if letter.failures >= MOST_FAILURES:
            self.failed[letter.site] = letter.reason
            del self.open[letter.site]
