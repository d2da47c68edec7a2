"""Speaks to the coordinator's own SuperLink: nodes and runs, over its guarded Control interface."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from common.bundle import RUN_KEY
from common.errors import RunError
from server.network.environment import quiet_flower
from server.network.folder import CoordinatorFolder
from server.network.guard import TOKEN_HEADER

if TYPE_CHECKING:
    from flwr.supercore.control import ControlHttpClient

SECONDS = 30.0
HEALTH_SECONDS = 3.0
KEY_IN_USE, RUN_OVER, RUN_UNKNOWN = (
    "PUBLIC_KEY_ALREADY_IN_USE",
    "RUN_ALREADY_FINISHED",
    "RUN_ID_NOT_FOUND",
)
"""Names of Flower's errors that mean something to us."""


class SuperLinkDown(RunError):
    """The coordinator's SuperLink does not answer."""

    code = "superlink-down"
    public = "The coordinator is not up."


class ControlRefused(RunError):
    """The SuperLink answered, and refused; `reason` is the name of Flower's error, or empty."""

    code = "control-refused"
    public = "The coordinator's SuperLink refused."

    def __init__(self, what: str, fix: str = "", reason: str = "") -> None:
        super().__init__(what, fix)
        self.reason = reason


@dataclass(frozen=True)
class Node:
    """A registered node as Flower knows it; times are ISO 8601, or empty."""

    node: int
    key: bytes
    status: str
    activated: str
    deactivated: str

    @property
    def registered(self) -> bool:
        """Whether its key may connect."""
        return self.status != "unregistered"

    @property
    def online(self) -> bool:
        """Whether it is there now."""
        return self.status == "online"


@dataclass(frozen=True)
class FlowerRun:
    """A run as Flower knows it: pending, starting, running or finished, and how it ended."""

    run: int
    identity: str
    status: str
    outcome: str
    details: str

    @property
    def over(self) -> bool:
        """Whether Flower has finished with it."""
        return self.status == "finished"


class Control:
    """The SuperLink's Control interface; use it in a `with` statement."""

    def __init__(self, folder: CoordinatorFolder) -> None:
        quiet_flower(folder)
        from flwr.supercore.control import ControlHttpClient

        token = folder.token()

        class Opens:
            """Shows the secret with each request."""

            def intercept(self, context: Any, call_next: Callable[[Any], Any]) -> Any:
                context.request.headers[TOKEN_HEADER] = token
                return call_next(context)

        self.folder = folder
        self._client: ControlHttpClient = ControlHttpClient(
            f"https://{folder.local_address}",
            interceptors=[Opens()],
            verify=trusting(folder),
            timeout=SECONDS,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.close()

    def nodes(self) -> list[Node]:
        """List all nodes that were ever registered, the unregistered too."""
        from flwr.proto.control_pb2 import ListNodesRequest

        with _explained():
            found = self._client.ListNodes(ListNodesRequest()).nodes_info
        return [
            Node(one.node_id, one.public_key, one.status, one.last_activated_at,
                 one.last_deactivated_at)
            for one in found
        ]  # fmt: skip

    def register(self, name: str, key: bytes) -> int:
        """Register a site's key (PEM); give the number of its node.

        Raises
        ------
        ControlRefused
            The key is registered, or was once and is withdrawn (reason `KEY_IN_USE`).
        """
        from flwr.proto.control_pb2 import RegisterNodeRequest

        with _explained():
            return self._client.RegisterNode(RegisterNodeRequest(public_key=key, name=name)).node_id

    def unregister(self, node: int) -> None:
        """Withdraw a node: its key can never be registered again."""
        from flwr.proto.control_pb2 import UnregisterNodeRequest

        with _explained():
            self._client.UnregisterNode(UnregisterNodeRequest(node_id=node))

    def start(self, bundle: bytes, identity: str) -> int:
        """Start a run of the bundle for the MyoFed run of that identity; give Flower's number."""
        import hashlib

        from flwr.proto.control_pb2 import StartRunRequest
        from flwr.proto.fab_pb2 import Fab
        from flwr.proto.transport_pb2 import Scalar

        request = StartRunRequest(
            fab=Fab(hash_str=hashlib.sha256(bundle).hexdigest(), content=bundle),
            override_config={RUN_KEY: Scalar(string=identity)},
        )
        with _explained():
            run = self._client.StartRun(request).run_id
        if run == 0:
            raise ControlRefused("The SuperLink did not start the run.", "Its log says why.")
        return run

    def stop(self, run: int) -> None:
        """Stop a run; one that is over already, or unknown, is left as it is."""
        from flwr.proto.control_pb2 import StopRunRequest

        try:
            with _explained():
                self._client.StopRun(StopRunRequest(run_id=run))
        except ControlRefused as error:
            if error.reason not in (RUN_OVER, RUN_UNKNOWN):
                raise

    def run(self, run: int) -> FlowerRun | None:
        """Ask how a run stands; None if Flower does not know it."""
        from flwr.proto.control_pb2 import ListRunsRequest

        try:
            with _explained():
                found = self._client.ListRuns(ListRunsRequest(run_id=run)).run_dict
        except ControlRefused as error:
            if error.reason == RUN_UNKNOWN:
                return None
            raise
        one = found[run]
        identity = one.override_config[RUN_KEY].string if RUN_KEY in one.override_config else ""
        status = one.status
        return FlowerRun(run, identity, status.status, status.sub_status, status.details)


def health(folder: CoordinatorFolder) -> datetime | None:
    """Ask our SuperLink whether it is there; give the time that it says it is.

    Its certificate is checked, so that a stranger on the port is not taken for it. None when it
    does not answer.
    """
    quiet_flower(folder)
    import httpx

    try:
        with httpx.Client(verify=trusting(folder), timeout=HEALTH_SECONDS) as client:
            answer = client.get(f"https://{folder.local_address}/health")
            answer.raise_for_status()
            return parsedate_to_datetime(answer.headers["date"])
    except (httpx.HTTPError, KeyError, ValueError):
        return None


def trusting(folder: CoordinatorFolder) -> ssl.SSLContext:
    """Make a TLS context that trusts the coordinator's own authority and nobody else."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(cafile=str(folder.authority))
    return context


@contextmanager
def _explained() -> Iterator[None]:
    """Make our own errors of those of the way to the SuperLink, and of its refusals."""
    import httpx
    from flwr.supercore.error import ApiErrorCode, FlowerError

    try:
        yield
    except httpx.TransportError as error:
        raise SuperLinkDown(
            f"The SuperLink does not answer ({type(error).__name__}).",
            "Start it: myofed coordinator up FOLDER. Its log is in FOLDER/logs.",
        ) from None
    except httpx.HTTPStatusError as error:
        found = FlowerError.from_json(error.response.text)
        if found is None:
            raise ControlRefused(
                f"The SuperLink refused with status {error.response.status_code}.",
                "FOLDER/logs/superlink.log says why.",
            ) from None
        try:
            reason = ApiErrorCode(found.code).name
        except ValueError:
            reason = ""
        raise ControlRefused(
            f"The SuperLink refused: {found.message}", "Its log says more.", reason
        ) from None
