"""The node's half of the link: it carries a question to the worker and brings the answer back.

The worker may be restarting, or die over a question; the line waits for it and asks again. Asking
twice does no harm: the same question has the same answer. What comes back is always a record, at
worst a refusal, because whoever asks is on the network and must read no exception.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import cast

import grpc
from flwr.app import RecordDict
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from client.link.place import LinkError, opened, target_of
from client.link.token import KEY, token_of
from client.link.wire import (
    PIECE_BYTES,
    SERVICE,
    Damaged,
    Parcel,
    WrongVersion,
    pack,
    unpack,
)
from client.link.worker_pb2_grpc import WorkerStub
from common.errors import MyoFedError
from common.messages import Refusal
from common.records import refusal_record

DEADLINE_SECONDS = 24 * 3600.0
PATIENCE_SECONDS = 60.0
TRIES = 3

_PAUSE_SECONDS = 0.1
_IS_THERE = HealthCheckRequest(service=SERVICE)
_FINAL = (
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.UNIMPLEMENTED,
)
_OPTIONS = (
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.max_receive_message_length", 2 * PIECE_BYTES),
)
# A socket closes with its process; a machine that vanishes from the network says nothing.
_NETWORK_OPTIONS = (("grpc.keepalive_time_ms", 60_000), ("grpc.keepalive_timeout_ms", 120_000))

_log = logging.getLogger("myofed.link")


class WorkerLine:
    """A line to the site's worker.

    `folder` is the link's folder, the same as the worker's, and `address` its network address if
    it does not listen on the folder's socket. `deadline` bounds a question (seconds), `patience`
    each wait for a worker that is not there, `tries` how often a worker may die over a question.
    """

    def __init__(
        self,
        folder: Path | str,
        address: str | None = None,
        deadline: float = DEADLINE_SECONDS,
        patience: float = PATIENCE_SECONDS,
        tries: int = TRIES,
    ) -> None:
        self._folder = Path(folder)
        self._address = address
        self._deadline = deadline
        self._patience = patience
        self._tries = tries

    def ask(self, stage: str, record: RecordDict) -> RecordDict:
        """Ask the worker; give its answer, or a refusal if it cannot be had."""
        try:
            return self._answer(pack(stage, record))
        except MyoFedError as error:
            _log.error("%s: %s", stage, error)
            return refusal_record(Refusal(error.code, error.public))
        except Exception:
            _log.exception("%s could not be asked", stage)
            return refusal_record(Refusal(LinkError.code, LinkError.public))

    def _answer(self, parcel: Parcel) -> RecordDict:
        stage, until = parcel.header.stage, time.monotonic() + self._deadline
        reason = ""
        for number in range(1, self._tries + 1):
            try:
                return self._once(parcel, until)
            except grpc.RpcError as error:
                call = cast(grpc.Call, error)
                reason = f"{call.code().name}: {call.details()}"
                if call.code() in _FINAL:
                    break
            except WrongVersion as error:
                raise LinkError(error.what, error.fix) from error
            except Damaged as error:
                reason = str(error)
            _log.warning("%s, try %d of %d failed: %s", stage, number, self._tries, reason)
            time.sleep(_PAUSE_SECONDS)
        raise LinkError(f"The worker gave no answer ({reason})", "Its own log says why.")

    def _once(self, parcel: Parcel, until: float) -> RecordDict:
        folder = opened(self._folder)
        target = target_of(folder, self._address)
        metadata = ((KEY, token_of(folder)),)
        options = _OPTIONS if self._address is None else _OPTIONS + _NETWORK_OPTIONS
        with grpc.insecure_channel(target, options) as channel:
            self._wait(channel, target, until)
            left = max(until - time.monotonic(), 0.0)
            pieces = WorkerStub(channel).Ask(parcel.pieces(), timeout=left, metadata=metadata)
            stage, record = unpack(pieces)
        if stage != parcel.header.stage:
            raise Damaged(f"The answer is of the stage {stage[:20]}.")
        return record

    def _wait(self, channel: grpc.Channel, target: str, until: float) -> None:
        """Wait until a worker says that it serves."""
        begun = time.monotonic()
        by = min(begun + self._patience, until)
        while (left := by - time.monotonic()) > 0:
            try:
                found = HealthStub(channel).Check(_IS_THERE, timeout=left, wait_for_ready=True)
                if found.status == HealthCheckResponse.SERVING:
                    return
            except grpc.RpcError:
                pass  # there is none yet, or it ends just now
            time.sleep(_PAUSE_SECONDS)
        raise LinkError(
            f"No worker served at {target} for {time.monotonic() - begun:.0f} seconds.",
            "Start the worker: myofed site up SITE_FOLDER",
        )
