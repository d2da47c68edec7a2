"""How each site of a run stands now, from what was told, what is under way and who is online."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from statistics import median
from typing import Any, Literal

from server.dashboard.advice import Kind, fix_of, kind_of, sentence_of
from server.dashboard.snapshot import Patients, QuestionNow, RunState, SiteNow, SiteState
from server.dashboard.told import SiteTold, Told
from server.delivery import NOT_ANSWERED, NOT_CONNECTED

Role = Literal["train", "external"]
Cohort = Mapping[str, Mapping[str, Any]]
Standing = tuple[SiteState, str, str]

UNUSUAL = 3.0
"""Times its usual seconds after which a site that has not answered is called late."""
PATIENCE = 10.0
"""Seconds beyond the usual that make nobody late."""


@dataclass(frozen=True)
class Around:
    """What a site's state depends on beside the site itself.

    `online` says who is connected, by name; a site of whom nothing is known is not in it.
    `cohort` is empty as long as nobody has enrolled.
    """

    state: RunState
    question: QuestionNow | None
    refused: Mapping[str, str]
    online: Mapping[str, bool]
    cohort: Cohort
    now: float


@dataclass(frozen=True)
class Known:
    """Why a site's answers are missing, and what to do."""

    kind: Kind
    note: str
    fix: str


def sites_now(roles: Iterable[tuple[str, Role]], told: Told, around: Around) -> list[SiteNow]:
    """Describe every site, in the order of the roster."""
    unseen = SiteTold()
    return [_site(name, role, told.sites.get(name, unseen), around) for name, role in roles]


def _site(name: str, role: Role, told: SiteTold, around: Around) -> SiteNow:
    state, note, fix = _standing(name, told, around)
    enrolled = around.cohort.get(name)
    own = told.seconds.get(told.shown)
    return SiteNow(
        name=name,
        role=role,
        state=state,
        note=note,
        fix=fix,
        patients=_patients(enrolled),
        versions=_versions(enrolled),
        last_answer=told.last_answer,
        seconds=own[-1] if own else None,
        usual=median(own) if own else None,
        sent=told.sent,
        received=told.received,
        sent_in_all=told.sent_in_all,
        received_in_all=told.received_in_all,
        missed=told.missed,
    )


def _standing(name: str, told: SiteTold, around: Around) -> Standing:
    """Give a site's state, what is the matter, and what to do."""
    reason = around.refused.get(name) or (told.trouble.reason if told.trouble else "")
    known = Known(kind_of(reason), sentence_of(reason), fix_of(reason)) if reason else None
    left_out = bool(around.cohort) and name not in around.cohort
    if known is not None and left_out:
        note = f"Not in this run: {known.note[:1].lower()}{known.note[1:]}"
        known = Known(known.kind, note, known.fix)
    if around.state not in ("running", "starting"):
        if known is not None:
            return known.kind, known.note, known.fix
        at_rest = _presence(around.online.get(name))
        return ("done" if around.state == "finished" else at_rest), "", ""
    if left_out:
        return (known.kind, known.note, known.fix) if known else ("unknown", "Not in this run.", "")
    return _at_work(name, told, around, known)


def _at_work(name: str, told: SiteTold, around: Around, known: Known | None) -> Standing:
    """Say how a site stands while its run is at work."""
    question, online = around.question, around.online.get(name)
    if question is not None and name in question.answered:
        # It is here again, though the question is not settled yet.
        known = None
    as_known: Standing = (known.kind, known.note, known.fix) if known else ("online", "", "")
    kind = known.kind if known else ""
    if online is False:
        note = known.note if known and kind == "gone" else "It is not connected."
        found: Standing = "gone", note, fix_of(NOT_CONNECTED)
    elif kind in ("quarantined", "refused", "late") or (kind == "gone" and online is None):
        found = as_known
    elif kind == "gone":
        found = "online", "It is back, and is asked again with one of the next questions.", ""
    elif question and name in question.asked and name not in question.answered:
        slow = _unusual(told, question, around.now)
        found = ("late", slow, fix_of(NOT_ANSWERED)) if slow else ("working", "", "")
    else:
        found = "online", "", ""
    return found


def _presence(online: bool | None) -> SiteState:
    if online is None:
        return "unknown"
    return "online" if online else "gone"


def _unusual(told: SiteTold, question: QuestionNow, now: float) -> str:
    """Say so if a site takes much longer over a question than over earlier ones of the stage."""
    own = told.seconds.get(question.stage)
    waited = now - question.since
    if not own:
        return ""
    usual = median(own)
    if waited <= max(UNUSUAL * usual, usual + PATIENCE):
        return ""
    # In tens, so that the sentence is not another one every second.
    return (
        f"It has not answered for over {waited // 10 * 10:.0f} s; usually it takes {usual:.0f} s."
    )


def _patients(enrolled: Mapping[str, Any] | None) -> Patients | None:
    if enrolled is None:
        return None
    return Patients(int(enrolled["positive"]), int(enrolled["negative"]), int(enrolled["slices"]))


def _versions(enrolled: Mapping[str, Any] | None) -> dict[str, str]:
    return dict(_read_versions(str(enrolled.get("versions", "")))) if enrolled else {}


@lru_cache(maxsize=256)
def _read_versions(text: str) -> dict[str, str]:
    """Read them once: mostly those of all sites are the same text."""
    try:
        held = json.loads(text)
    except ValueError:
        return {}
    return {str(name): str(version) for name, version in held.items()}
