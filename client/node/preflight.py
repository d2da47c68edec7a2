"""Before Flower is started: wait until the coordinator can be reached, and say why it cannot.

Flower would end with a page of its own text, or try again for ever without a word.
"""

from __future__ import annotations

import json
import platform
import random
import time
from collections.abc import Callable

from client.doctor.admission import admission_check, fleet
from client.doctor.clock import clock_check
from client.doctor.route import Address, proxy_to
from client.doctor.tls import tls_check
from client.node.words import WAITING, Words
from client.rooms import NodeRoom
from common.check import Verdict
from common.files import write_json

FIRST_WAIT, LONGEST_WAIT = 1.0, 30.0
HEARTBEAT_SECONDS = 30.0
STILL_ALIVE = (
    "The coordinator still counts an earlier connection of this site as alive. It forgets it "
    "within a minute; if not, another computer uses this site's key."
)


def await_coordinator(
    room: NodeRoom, words: Words, sleep: Callable[[float], None] = time.sleep
) -> None:
    """Return when nothing stands in the way; until then say what does, each reason once."""
    pause = FIRST_WAIT
    while (reason := obstacle(room) or _earlier_connection(room)) is not None:
        words.say(WAITING, reason)
        sleep(pause * random.uniform(0.8, 1.2))
        pause = min(pause * 2, LONGEST_WAIT)


def obstacle(room: NodeRoom) -> str | None:
    """Say why the node cannot connect, in one sentence with what to do; None if it can."""
    address = Address.parse(room.joined().coordinator)
    proxy = proxy_to(address)
    tls = tls_check(address, room.ca, proxy)
    if tls.verdict is Verdict.FAIL:
        return f"{tls.found} {tls.fix}"
    admission = admission_check(address, room.ca, room.key)
    if admission.verdict is Verdict.FAIL:
        clock = clock_check(address, room.ca, proxy)
        reason = clock if clock.verdict is Verdict.FAIL else admission
        return f"{reason.found} {reason.fix}".strip()
    return None


def _earlier_connection(room: NodeRoom) -> str | None:
    """Sign off what a killed node left behind; the SuperLink would count it as alive for a minute.

    A node's number is kept with the name of the computer. On another one it is not used, so that
    a copied folder does not sign off the node that it was copied from.
    """
    import httpx
    from flwr.proto.fleet_pb2 import ActivateNodeRequest, DeactivateNodeRequest

    address = Address.parse(room.joined().coordinator)
    client, public = fleet(address, room.ca, room.key)
    with client:
        number = _number(room)
        if number is not None:
            try:
                client.DeactivateNode(DeactivateNodeRequest(node_id=number))
                return None
            except httpx.HTTPStatusError as error:
                if error.response.status_code != httpx.codes.UNAUTHORIZED:
                    return None  # it was signed off already
                room.number.unlink(missing_ok=True)  # the site was admitted anew
            except httpx.HTTPError:
                return STILL_ALIVE
        try:
            joined = client.ActivateNode(
                ActivateNodeRequest(public_key=public, heartbeat_interval=HEARTBEAT_SECONDS)
            )
            client.DeactivateNode(DeactivateNodeRequest(node_id=joined.node_id))
        except httpx.HTTPError:
            return STILL_ALIVE
    write_json(room.number, {"number": joined.node_id, "computer": platform.node()})
    return None


def _number(room: NodeRoom) -> int | None:
    try:
        held = json.loads(room.number.read_text(encoding="utf-8"))
        return int(held["number"]) if held["computer"] == platform.node() else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
