"""The resident carrier: carries each question from the SuperNode to the site's worker and back.

It takes the place of Flower's SuperExec, which starts a fresh process for every message. That
process would unpack the app that the coordinator sent and run it. Here the app that runs is the
installed one, always; what the coordinator sends is never unpacked. And if it is not what the
installed release sends, byte for byte, the question is not carried at all.

It is a thread of the SuperNode's process: the two live and die together, the SuperNode's loop wakes
it, so nothing is polled, and it calls the handlers of the Runtime API itself.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import cast

from flwr.app import Error, Message
from flwr.clientapp import ClientApp
from flwr.common.constant import ErrorCode, SubStatus
from flwr.supercore.constant import TaskType
from flwr.supercore.heartbeat import HeartbeatSender
from flwr.supercore.runtime import RuntimeHttpClient
from flwr.supernode.nodestate import NodeState
from flwr.supernode.runtime.run_clientapp import pull_task_input, push_message, push_task_output

from client.node.checked_app import ForeignApp, require_ours
from client.node.runtime import TaskRuntime, claimed
from common.errors import MyoFedError
from common.messages import Refusal
from common.records import refusal_record

TAKEN = (TaskType.CLIENT_APP, TaskType.AGENT_APP)
"""Of these only the first is carried. The other is answered with a refusal, because the SuperNode
would wait for an answer for ever."""

NOT_CARRIED = "This site answers the questions of a study only."

FOREIGN = Refusal(ForeignApp.code, ForeignApp.public)

BESIDE_SECONDS = 1.0
"""How often to look for another question while one is carried."""

log = logging.getLogger("myofed.node")


class Carrier:
    """Carries questions when it is woken, each in a thread of its own.

    A run that ends while its question is on the way leaves a task behind that has nothing to carry,
    and who waits for it must not keep the next question waiting. The worker computes one question
    at a time anyhow.

    Parameters
    ----------
    state
        Gives the SuperNode's state: it has one when its loop calls for the first time.
    app
        The installed ClientApp.
    broken
        Called when the carrier itself cannot go on.
    """

    def __init__(
        self, state: Callable[[], NodeState], app: ClientApp, broken: Callable[[], None]
    ) -> None:
        self._state = state
        self._app = app
        self._broken = broken
        self._wanted = threading.Event()
        self._brought = threading.Event()
        self._under_way: set[int] = set()
        self._claimed = float("-inf")

    def start(self) -> None:
        """Begin to wait for the first call."""
        threading.Thread(target=self._run, name="myofed-carrier", daemon=True).start()

    def wait(self, seconds: float) -> None:
        """Carry what there is to carry; come back when an answer is there, or after the seconds.

        Nothing is claimed before the first call, which comes from the SuperNode's own loop.
        """
        self._wanted.set()
        self._brought.wait(seconds)
        self._brought.clear()

    def _run(self) -> None:
        try:
            while True:
                self._wanted.wait()
                self._wanted.clear()
                if self._under_way and time.monotonic() - self._claimed < BESIDE_SECONDS:
                    # The loop wakes the carrier all the while it waits for this very answer.
                    continue
                self._claimed = time.monotonic()
                state = self._state()
                while (task := claimed(state, TAKEN)) is not None:
                    self._under_way.add(task.task_id)
                    runtime = TaskRuntime(state, task)
                    threading.Thread(target=self._carry_apart, args=(runtime,), daemon=True).start()
        except BaseException:
            log.exception("The carrier ended.")
            self._broken()

    def _carry_apart(self, runtime: TaskRuntime) -> None:
        try:
            self._carry(runtime)
            self._under_way.discard(runtime.task.task_id)
        except BaseException:
            # The SuperNode's loop would wait for this one answer until it is started anew.
            log.exception("The carrier ended.")
            self._broken()

    def _carry(self, runtime: TaskRuntime) -> None:
        """Carry one question; whatever happens, the SuperNode is told that it is over."""
        # Flower's functions only call what a `TaskRuntime` has.
        client = cast(RuntimeHttpClient, runtime)
        heartbeat = HeartbeatSender(runtime.beat)
        heartbeat.start()
        status = SubStatus.FAILED
        try:
            message, context, _, sent = pull_task_input(client)
            if runtime.task.type != TaskType.CLIENT_APP:
                reply = _refusal(message)
            else:
                reply = self._answer(message, context, sent.content)
            push_message(client, reply, context)
            self._brought.set()
            status = SubStatus.COMPLETED
        finally:
            push_task_output(client, context=None, sub_status=status, details="")
            if heartbeat.is_running:
                heartbeat.stop()

    def _answer(self, message: Message, context: object, sent: bytes) -> Message:
        try:
            require_ours(sent)
            return self._app(message, context)  # type: ignore[arg-type]
        except ForeignApp as error:
            log.error("%s: %s", message.metadata.message_type, error)
            return Message(refusal_record(FOREIGN), reply_to=message)
        except MyoFedError as error:
            log.error("%s: %s", message.metadata.message_type, error)
            reason = f"{error.code}: {error.public}"
        except Exception:
            log.exception("%s failed", message.metadata.message_type)
            reason = f"{MyoFedError.code}: {MyoFedError.public}"
        return Message(Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, reason), reply_to=message)


def _refusal(message: Message) -> Message:
    return Message(Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, NOT_CARRIED), reply_to=message)
