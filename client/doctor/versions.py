"""The software: is it what this release was tested with, and does it read the approved studies."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from client.approved import ApprovalWithdrawn, approvals
from common.check import Check, failed, passed, warned
from common.errors import StudyError
from common.versions import package_versions

NAME, STUDY_NAME = "software", "approved studies"
_REQUIREMENT = re.compile(r"(?P<name>[A-Za-z0-9._-]+)(\[[^]]*\])?(?P<bounds>[^;]*)(?P<only>;.*)?")
_BOUND = re.compile(r"(?P<sign>>=|<=|==|<|>|!=)\s*(?P<number>[0-9.]+)")
_INSTALL = "Install the release of MyoFed that the study names, with its constraints.txt."


def versions_check() -> Check:
    """Compare what is installed with what this release asks for.

    Sites of one run must have the same versions, and the coordinator refuses those that differ at
    enrolment; this finds what no other site can have.
    """
    wrong = [text for line in requires("myofed") or () if (text := _wrong(line))]
    if wrong:
        return failed(NAME, f"Not what MyoFed asks for: {'; '.join(wrong)}.", _INSTALL)
    from client.node.pace import differences

    differing = differences()
    if differing:
        return warned(
            NAME,
            f"Flower is not as it was tested ({', '.join(differing)}): the node will go at "
            "Flower's own pace.",
            _INSTALL,
        )
    shown = ", ".join(f"{package} {number}" for package, number in package_versions().items())
    return passed(NAME, f"All that MyoFed asks for is here: {shown}.")


def studies_check(site: Path) -> Check:
    """Read every approved study and check its signature.

    One of another release has another fingerprint here.
    """
    try:
        found = approvals(site)
    except StudyError as error:
        return failed(STUDY_NAME, error.what, error.fix)
    wrong = [
        one.problem
        for one in found
        if one.problem is not None and not isinstance(one.problem, ApprovalWithdrawn)
    ]
    if wrong:
        return failed(STUDY_NAME, " ".join(one.what for one in wrong), wrong[0].fix)
    names = [f"{one.name} ({one.fingerprint[:12]})" for one in found if one.problem is None]
    if not names:
        return warned(
            STUDY_NAME,
            "This site has approved no study, so it answers no question.",
            "Join with the coordinator's invitation: myofed site join FOLDER invitation.json",
        )
    shown = ", ".join(names)
    return passed(STUDY_NAME, f"Approved: {shown}.")


def _wrong(line: str) -> str:
    """Say how an installed package does not meet a requirement; empty if it does."""
    found = _REQUIREMENT.match(line)
    if found is None or found["only"]:
        return ""
    name, bounds = found["name"], found["bounds"].strip()
    try:
        installed = version(name)
    except PackageNotFoundError:
        return f"{name} is absent"
    meets = all(_meets(installed, one["sign"], one["number"]) for one in _BOUND.finditer(bounds))
    return "" if meets else f"{name} {installed} instead of {bounds}"


def _meets(installed: str, sign: str, wanted: str) -> bool:
    left, right = _numbers(installed), _numbers(wanted)
    size = max(len(left), len(right))
    left, right = left + (0,) * (size - len(left)), right + (0,) * (size - len(right))
    return {
        ">=": left >= right,
        "<=": left <= right,
        "==": left == right,
        "!=": left != right,
        "<": left < right,
        ">": left > right,
    }[sign]


def _numbers(text: str) -> tuple[int, ...]:
    found = re.match(r"[0-9]+(\.[0-9]+)*", text)
    return tuple(map(int, found.group().split("."))) if found else ()
