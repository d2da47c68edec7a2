"""The clocks: does this computer's agree with the coordinator's.

A SuperNode signs the time of each request. The SuperLink takes a signature that is up to 305 s old
but at most 5 s in the future, so a clock that is fast fails much sooner than one that is slow.
"""

from __future__ import annotations

import http.client
import time
from email.utils import parsedate_to_datetime
from pathlib import Path

from client.doctor.route import Address, Proxy, connect, trusting
from client.doctor.trouble import trouble_of
from common.check import NETWORK_SECONDS, Check, failed, passed, warned

NAME = "clock"
SLOW_WARN, SLOW_FAIL = 10.0, 60.0
FAST_WARN, FAST_FAIL = 2.5, 4.0
_SET = "Set it by NTP (for example: timedatectl set-ntp true)."


def clock_check(
    address: Address, ca: Path, proxy: Proxy | None, seconds: float = NETWORK_SECONDS
) -> Check:
    """Compare this clock with the date in the coordinator's answer."""
    try:
        connection = connect(address, trusting(ca), proxy, seconds)
        try:
            before = time.time()
            connection.request("GET", "/health")
            answer = connection.getresponse()
            after = time.time()
            date = answer.headers["Date"]
        finally:
            connection.close()
    except (OSError, ValueError, http.client.HTTPException) as error:
        what = trouble_of(error, address, proxy).found if isinstance(error, OSError) else str(error)
        return failed(
            NAME,
            f"The coordinator's time could not be read: {what}",
            "Solve that first.",
        )
    try:
        told = parsedate_to_datetime(date).timestamp()
    except (TypeError, ValueError):
        return warned(
            NAME, "The coordinator's answer bears no date.", f"Check this clock yourself. {_SET}"
        )
    return judge((before + after) / 2 - (told + 0.5))


def judge(ahead: float) -> Check:
    """Judge by how many seconds this clock is ahead of the coordinator's (negative: behind).

    HTTP dates have whole seconds, so a half either way means nothing.
    """
    size = f"{abs(ahead):.0f} seconds {'ahead of' if ahead > 0 else 'behind'} the coordinator's"
    if ahead > FAST_FAIL:
        return failed(NAME, f"This clock is {size}; 5 are refused.", _SET)
    if -ahead > SLOW_FAIL:
        return failed(NAME, f"This clock is {size}; at 300 it is refused.", _SET)
    if ahead > FAST_WARN or -ahead > SLOW_WARN:
        return warned(NAME, f"This clock is {size}.", _SET)
    return passed(NAME, "This clock agrees with the coordinator's.")
