"""Named sites over Flower's Grid: ask some of them, wait, say who failed and why.

Flower knows nodes by number and reports a failure without a name; here every message is kept with
the site that it went to. Answers are handed on in the order of the roster, whatever the order in
which they arrived, so that sums and averages are the same in every run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from threading import Event
from typing import TypeVar

from flwr.app import Message
from flwr.serverapp import Grid

from common.errors import Interrupted, RunError
from common.messages import ANSWERS, EnrolAnswer, EnrolQuestion, Question, Refusal
from common.records import from_answer, record_bytes, to_record
from server.run import RunFolder

Answer = TypeVar("Answer")
Watch = Callable[[str, str], None]

PULL_SECONDS = 0.05


class Federation:
    """The sites of one run. `ask` puts one question to several of them."""

    def __init__(
        self, grid: Grid, run: RunFolder, patience: float, watch: Watch, stop: Event
    ) -> None:
        self.grid = grid
        self.run = run
        self.patience = patience
        self.watch = watch
        self.stop = stop
        self.nodes: dict[str, int] = {}

    def meet(self, question: EnrolQuestion) -> dict[str, EnrolAnswer]:
        """Ask every node who it is, and keep the sites of the roster.

        Raises
        ------
        RunError
            A site of the roster does not answer, refuses, or answers twice.
        """
        wanted = [site.name for site in self.run.study.sites]
        nodes = self._wait_for_nodes(len(wanted))
        by_node = self._exchange(question, {f"node {node}": node for node in nodes}, EnrolAnswer)
        found: dict[str, EnrolAnswer] = {}
        for label, answer in by_node.items():
            if answer.site in found:
                raise RunError(
                    f"Two nodes call themselves {answer.site}.",
                    "Each site of the roster runs one node.",
                )
            found[answer.site] = answer
            self.nodes[answer.site] = int(label.removeprefix("node "))
        missing = [name for name in wanted if name not in found]
        if missing:
            raise RunError(
                f"These sites of the roster did not come: {', '.join(missing)}.",
                "Start them, or take them out of the study's roster.",
            )
        return {name: found[name] for name in wanted}

    def ask(
        self, question: Question, sites: Sequence[str], kind: type[Answer]
    ) -> dict[str, Answer]:
        """Put a question to the named sites; answers come in the order given.

        Raises
        ------
        RunError
            A site refuses, fails or does not answer in time; each is named with its reason.
        """
        if kind is not ANSWERS[question.stage]:
            raise TypeError(f"{kind.__name__} does not answer the stage {question.stage}")
        return self._exchange(question, {site: self.nodes[site] for site in sites}, kind)

    def _exchange(
        self, question: Question, nodes: Mapping[str, int], kind: type[Answer]
    ) -> dict[str, Answer]:
        started = time.monotonic()
        record = to_record(question)
        sent = record_bytes(record)
        waiting: dict[str, str] = {}
        for name, node in nodes.items():
            message = Message(record, node, f"query.{question.stage}")
            pushed = list(self.grid.push_messages([message]))
            if pushed:
                waiting[pushed[0]] = name
        answers: dict[str, Answer] = {}
        received: dict[str, int] = {}
        seconds: dict[str, float] = {}
        failures: dict[str, str] = {
            name: "could not be reached" for name in nodes if name not in waiting.values()
        }
        while waiting and time.monotonic() - started < self.patience:
            for reply in self.grid.pull_messages(list(waiting)):
                name = waiting.pop(reply.metadata.reply_to_message_id)
                seconds[name] = round(time.monotonic() - started, 3)
                outcome = _read(reply, kind)
                if isinstance(outcome, Refusal):
                    failures[name] = f"{outcome.public} ({outcome.code})"
                else:
                    answers[name] = outcome
                    received[name] = record_bytes(reply.content)
            if waiting:
                self._pause()
        for name in waiting.values():
            failures[name] = f"did not answer within {self.patience:.0f} seconds"
        details = {
            key: getattr(question, key)
            for key in ("step", "fold", "round")
            if hasattr(question, key)
        }
        self.run.event(
            event="asked",
            stage=question.stage,
            **details,
            seconds=round(time.monotonic() - started, 3),
            sites={
                name: {
                    "received_bytes": sent,
                    "sent_bytes": received.get(name, 0),
                    "seconds": seconds.get(name),
                }
                for name in nodes
            },
            failures=failures,
        )
        if failures:
            listed = "; ".join(f"{name}: {reason}" for name, reason in sorted(failures.items()))
            raise RunError(
                f"In the stage {question.stage} {listed}",
                "The log of the site says more. Correct it, then run again: the run goes on where "
                "it stopped.",
            )
        self.watch(question.stage, _say(details))
        return {name: answers[name] for name in nodes}

    def _wait_for_nodes(self, count: int) -> list[int]:
        started = time.monotonic()
        while True:
            nodes = sorted(self.grid.get_node_ids())
            if len(nodes) >= count or time.monotonic() - started > self.patience:
                return nodes
            self._pause()

    def _pause(self) -> None:
        """Wait a moment for answers; end here if the run was asked to stop."""
        if self.stop.wait(PULL_SECONDS):
            raise Interrupted(
                "The run was stopped.", "Run the same command again: it goes on where it stopped."
            )


def _read(reply: Message, kind: type[Answer]) -> Answer | Refusal:
    if reply.has_error():
        return Refusal("node-failed", "The site's process failed before it could answer.")
    try:
        return from_answer(kind, reply.content)
    except RunError as error:
        return Refusal("answer-malformed", str(error))


def _say(details: Mapping[str, object]) -> str:
    return ", ".join(f"{key} {value}" for key, value in details.items())
