"""What a reason for a missing answer means, and what the coordinator can do about it."""

from __future__ import annotations

import re
from typing import Literal

from server.delivery import NOT_ANSWERED, NOT_CONNECTED, STILL_BUSY

Kind = Literal["gone", "late", "quarantined", "refused"]

QUARANTINED = "quarantined: "
_CODE = re.compile(r"\(([a-z-]+)\)$")
_AWAY = (NOT_CONNECTED, "could not be reached", "lost its connection")
_SLOW = (NOT_ANSWERED, STILL_BUSY)

_GONE = (
    "Telephone the site: is its machine up, and the line? There: myofed site doctor, then myofed "
    "site up. The run takes it back when it answers."
)
_LATE = (
    "At the site, site.log says what it is busy with. Nothing need be done if it is only slow: "
    "it is asked again when it has answered."
)
_QUARANTINED = (
    "Its answer does not count in this question. Ask the site whether its data, software or "
    "machine changed; if it goes on, leave it out of the next run."
)
_REFUSED = "The site's own site.log says why. Ask the site to look, and to run: myofed site doctor"

_BY_CODE = {
    "worker-unreachable": "At the site: is its worker up? myofed site doctor says; myofed site up "
    "starts both of its rooms.",
    "approval-withdrawn": "The site no longer takes part. Speak to it before you go on.",
    "study-mismatch": "Let the site approve this very study: myofed site approve. Compare the "
    "fingerprints by telephone.",
    "changed-since-enrolment": "The site changed its software or cohort in mid-run. Let it put "
    "that back, or begin a new run.",
    "sets-changed": "Sums over too many different sets of sites were asked for. Change the study "
    "(the seed is enough) and let the sites approve it anew.",
    "privacy-budget-too-small": "The site's patients have too little budget left for this study. "
    "It takes a smaller epsilon, or goes on without this site.",
    "privacy-budget-spent": "The site's patients have no budget left. Resume the old run rather "
    "than begin a new one, or go on without this site.",
    "too-few-patients": "The site has fewer patients of a class than the study's minimum, and "
    "cannot take part.",
    "ledger-failed": "The site cannot write its record of what leaves. Is its disk full?",
    "lost-session-key": "Resume the run: the site then enrols with its new session key.",
    "off-course": "The site has a record of this question already. Speak to it before you go on.",
    "cohort-invalid": "At the site: myofed site check names each fault of its cohort.",
}
"""Where more is known than that a site refused."""


def kind_of(reason: str) -> Kind:
    """Say what a site's reason comes to."""
    if reason.startswith(QUARANTINED):
        return "quarantined"
    if reason in _AWAY:
        return "gone"
    return "late" if reason in _SLOW else "refused"


def fix_of(reason: str) -> str:
    """Say what to do about a site's reason."""
    code = _CODE.search(reason)
    if code and code.group(1) in _BY_CODE:
        return _BY_CODE[code.group(1)]
    return {
        "gone": _GONE,
        "late": _LATE,
        "quarantined": _QUARANTINED,
        "refused": _REFUSED,
    }[kind_of(reason)]


def sentence_of(reason: str) -> str:
    """Make a sentence of a reason: those of the delivery go on from the name of the site."""
    text = reason.removeprefix(QUARANTINED)
    return text[:1].upper() + text[1:].rstrip(".") + "."
