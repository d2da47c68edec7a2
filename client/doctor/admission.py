"""The admission: does the coordinator know this site's key.

The question is an activation with an impossible heartbeat interval. The SuperLink looks the key up
first and refuses the interval then, so its refusal tells whether the key is known, and nothing
changes, neither for a node that runs nor for one that does not.
"""

from __future__ import annotations

import http
from pathlib import Path
from typing import TYPE_CHECKING

from client.doctor.route import Address, trusting
from common.check import NETWORK_SECONDS, Check, failed, passed
from common.errors import WrongUse
from common.identity import fingerprint, public_half

if TYPE_CHECKING:
    from flwr.supernode.fleet_http_client import FleetHttpClient

NAME = "admission"
ADMIT = "Send the coordinator the join request of 'myofed site init' and ask to be admitted."


def admission_check(
    address: Address, ca: Path, key: Path, seconds: float = NETWORK_SECONDS
) -> Check:
    """Ask the coordinator, in the SuperNode's own way, whether it knows the key."""
    import httpx
    from flwr.proto.fleet_pb2 import ActivateNodeRequest

    try:
        shown = fingerprint(public_half(key))
        client, public = fleet(address, ca, key, seconds)
    except WrongUse as error:
        return failed(NAME, error.what, error.fix)
    except (OSError, ValueError):
        return failed(NAME, f"{ca} holds no certificate.", "Join again with the invitation.")
    with client:
        try:
            client.ActivateNode(ActivateNodeRequest(public_key=public, heartbeat_interval=0.0))
        except httpx.HTTPStatusError as error:
            return _judge(error.response.status_code, error.response.text, shown)
        except httpx.HTTPError as error:
            return failed(NAME, f"The coordinator could not be asked ({error}).", "See above.")
    return _known(shown)


def _judge(status: int, text: str, shown: str) -> Check:
    """Read the refusal; which one it is tells whether the key was found."""
    from flwr.supercore.error import ApiErrorCode, FlowerError

    told = FlowerError.from_json(text)
    code = told.code if told else 0
    if code == ApiErrorCode.FLEET_INVALID_HEARTBEAT_INTERVAL:
        return _known(shown)
    if code == ApiErrorCode.FLEET_NODE_ACTIVATION_FAILED:
        if told and told.public_details:
            return failed(NAME, told.public_details, "")
        return failed(NAME, f"The coordinator does not know this site's key {shown}.", ADMIT)
    if status == http.HTTPStatus.UNAUTHORIZED:
        return failed(
            NAME,
            f"The coordinator refuses the signature of this site's key {shown}.",
            "As a rule a clock is wrong: set this computer's by NTP.",
        )
    return failed(
        NAME, f"The coordinator answers with {status} instead of admitting the site.", "Ask it why."
    )


def _known(shown: str) -> Check:
    return passed(NAME, f"The coordinator knows this site's key {shown}.")


def fleet(
    address: Address, ca: Path, key: Path, seconds: float = NETWORK_SECONDS
) -> tuple[FleetHttpClient, bytes]:
    """Give Flower's client of the Fleet API, which signs with `key`, and the public key (PEM)."""
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.serialization import load_ssh_private_key
    from flwr.supercore.primitives.asymmetric import public_key_to_bytes
    from flwr.supernode.fleet_http_client import FleetHttpClient
    from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor

    private = load_ssh_private_key(key.read_bytes(), None)
    if not isinstance(private, EllipticCurvePrivateKey):
        raise WrongUse(f"{key} is not an elliptic-curve key.", "Make one: myofed site init")
    public = private.public_key()
    client = FleetHttpClient(
        f"https://{address}",
        interceptors=[NodeAuthHttpInterceptor(private, public)],
        verify=trusting(ca),
        timeout=seconds,
    )
    return client, public_key_to_bytes(public)
