"""The worker's half of the link: a server that puts one question after the other to the worker.

Questions are computed in one thread, always the same. The calls only wait for it, so health is
answered while a question is computed, and a node that goes away in the meantime is not missed.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import grpc
from flwr.app import RecordDict
from grpc_health.v1.health import HealthServicer
from grpc_health.v1.health_pb2 import HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import add_HealthServicer_to_server

from client.link.place import SOCKET, LinkError, OnlyServer, is_shared, opened, target_of
from client.link.token import Guard, token_of
from client.link.wire import PIECE_BYTES, SERVICE, Parcel, WrongVersion, pack, unpack
from client.link.worker_pb2 import Piece
from client.link.worker_pb2_grpc import add_WorkerServicer_to_server
from common.errors import MyoFedError
from common.messages import Refusal
from common.records import refusal_record

WAITING = 8
"""Questions that may wait at once; a site's node asks one at a time."""
_LOOK_SECONDS = 0.2
_OPTIONS = (
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", 2 * PIECE_BYTES),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
)

Answer = Callable[[str, RecordDict], RecordDict]


class LinkServer:
    """Serves `answer` in the link's folder, on a socket or on a private network address."""

    def __init__(self, answer: Answer, folder: Path | str, address: str | None = None) -> None:
        self._answer = answer
        self._folder = Path(folder)
        self._address = address
        self._held = ExitStack()
        self._health = HealthServicer()
        self._log = logging.getLogger("myofed.link")
        self.target = ""

    def start(self) -> None:
        """Begin to serve; health says so.

        Raises
        ------
        LinkError
            Another worker serves this folder, or the place cannot be used.
        """
        folder = opened(self._folder)
        self.target = target_of(folder, self._address)
        with ExitStack() as held:
            held.enter_context(OnlyServer(folder))
            token_of(folder)
            (folder / SOCKET).unlink(missing_ok=True)
            held.callback((folder / SOCKET).unlink, missing_ok=True)
            self._calls = _Calls(self._answer, self._log)
            self._server = grpc.server(
                ThreadPoolExecutor(2 * WAITING, "link"),
                interceptors=[Guard(folder, self._log)],
                options=_OPTIONS,
            )
            add_WorkerServicer_to_server(self._calls, self._server)
            add_HealthServicer_to_server(self._health, self._server)
            self._bind(folder)
            self._server.start()
            self._held = held.pop_all()
        self._tell(HealthCheckResponse.SERVING)

    def stop(self, grace: float = 1.0) -> bool:
        """End: health first, then the calls, `grace` seconds later at most.

        Returns whether no question is being computed any more. One that is cannot be stopped; its
        answer is lost, and the node asks again.
        """
        self._health.enter_graceful_shutdown()
        ended = self._server.stop(grace)
        self._calls.close()
        ended.wait(grace + 0.5)
        self._held.close()
        return self._calls.idle.is_set()

    def _bind(self, folder: Path) -> None:
        try:
            port = self._server.add_insecure_port(self.target)
        except RuntimeError:
            raise LinkError(
                f"The worker cannot listen at {self.target}.",
                "Name another place with --link or --address; the port may be taken.",
            ) from None
        if self._address is not None:
            self.target = f"{self._address.rpartition(':')[0]}:{port}"
            return
        socket = folder / SOCKET
        if is_shared(folder):
            os.chown(socket, -1, folder.stat().st_gid)
        socket.chmod(0o660 if is_shared(folder) else 0o600)

    def _tell(self, status: HealthCheckResponse.ServingStatus) -> None:
        for name in ("", SERVICE):
            self._health.set(name, status)


class _Calls:
    """The calls of the service: take a question, wait for its turn, give the answer."""

    def __init__(self, answer: Answer, log: logging.Logger) -> None:
        self._of_worker = answer
        self._log = log
        self._desk = ThreadPoolExecutor(1, "answer")
        self._seats = threading.BoundedSemaphore(WAITING)
        self.idle = threading.Event()
        self.idle.set()

    def close(self) -> None:
        """Take no further question to the worker."""
        self._desk.shutdown(wait=False, cancel_futures=True)

    def Ask(self, pieces: Iterator[Piece], context: grpc.ServicerContext) -> Iterator[Piece]:
        """Answer one question."""
        if not self._seats.acquire(blocking=False):
            context.abort(
                grpc.StatusCode.RESOURCE_EXHAUSTED, f"{WAITING} questions are waiting already."
            )
        try:
            parcel = self._waited(self._taken(pieces, context), context)
        finally:
            self._seats.release()
        return iter(()) if parcel is None else parcel.pieces()

    def _taken(self, pieces: Iterator[Piece], context: grpc.ServicerContext) -> Future[Parcel]:
        try:
            return self._desk.submit(self._answered, *unpack(pieces))
        except WrongVersion as error:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
        except MyoFedError as error:
            context.abort(grpc.StatusCode.DATA_LOSS, str(error))
        except RuntimeError:
            context.abort(grpc.StatusCode.UNAVAILABLE, "The worker is ending.")

    def _waited(self, coming: Future[Parcel], context: grpc.ServicerContext) -> Parcel | None:
        while True:
            try:
                return coming.result(_LOOK_SECONDS)
            except TimeoutError:
                if not context.is_active():
                    coming.cancel()
                    self._log.warning("The node went away before it had its answer.")
                    return None
            except CancelledError:
                context.abort(grpc.StatusCode.UNAVAILABLE, "The worker is ending.")

    def _answered(self, stage: str, record: RecordDict) -> Parcel:
        self.idle.clear()
        try:
            return pack(stage, self._of_worker(stage, record))
        except MyoFedError as error:
            self._log.error("%s: %s", stage, error)
            refusal = Refusal(error.code, error.public)
        except BaseException:  # a thread of a pool has nobody else to catch it
            self._log.exception("%s failed", stage)
            refusal = Refusal("internal", MyoFedError.public)
        finally:
            self.idle.set()
        return pack(stage, refusal_record(refusal))
