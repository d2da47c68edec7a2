"""The guard's own refusal: what was wrong stays in the site's log."""

from __future__ import annotations

from common.errors import MyoFedError


class EgressRefused(MyoFedError):
    """An answer holds something else than its stage may send; nothing of it leaves."""

    code = "egress-refused"
    public = "The site's own guard did not let the answer out."


def refuse(what: str) -> EgressRefused:
    """Make the error, with what to do."""
    return EgressRefused(
        f"An answer was kept back: {what}.",
        "Nothing of it left. If nobody changed this site's software, report it to its makers.",
    )


def too_few(what: str, found: int, least: int) -> EgressRefused:
    """Make the error of a sum over too few patients."""
    return EgressRefused(
        f"An answer was kept back: {what} is over {found}, and the study's minimum is {least}.",
        "Add patients, or let the study sum under masks: [secure_sum] enabled = true.",
    )
