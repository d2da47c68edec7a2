"""A site's answers under masks: who must take part, whose keys are trusted, and how often.

The coordinator says over which sites a sum is to be taken and hands their session keys round. The
site trusts it in neither: the sites must be those of the roster, at least as many as the study asks
for, their keys signed with the identities in the study that it approved, and the set may change
only as often as the study allows.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from client.context import SiteContext
from client.site_keys import session_key
from common.errors import MyoFedError, RunError
from common.files import write_json
from common.messages import Hidden
from common.records import Envelope
from common.secure_sum.adding import hide
from common.secure_sum.masks import TooFewToHide, context_of
from common.secure_sum.scope import scope_of
from common.secure_sum.session import secrets_with

SETS_FILE = "sum-sets.json"


class SetsChanged(MyoFedError):
    """A sum was asked for over other sites than before, more often than the study allows."""

    code = "sets-changed"
    public = "A sum was asked for over other sites than before, more often than the study allows."


class LostSessionKey(MyoFedError):
    """The coordinator hands round a session key of this site that it no longer has."""

    code = "lost-session-key"
    public = "The site has another session key than when it enrolled. Resume the run."


def hidden(answer: object, digest: str, envelope: Envelope, context: SiteContext) -> Hidden:
    """Put an answer under the masks of the sites that its question names.

    Parameters
    ----------
    digest
        Of the question, hexadecimal.

    Raises
    ------
    TooFewToHide, SetsChanged, LostSessionKey, ForgedKey, RunError
        The coordinator asks for a sum that this site must not take part in.
    OutOfRange, NotSummable
        The answer does not fit into the sum.
    """
    study, own = context.study, context.site.name
    names = [one.site for one in envelope.announced]
    _require_roster(names, context)
    session = session_key(context.memory.folder)
    announced = {one.site: one for one in envelope.announced}
    if announced[own].key != session.public_key().public_bytes_raw():
        raise LostSessionKey(
            f"The key of this site that the coordinator hands round in the run {context.run} is "
            "not the one kept in its folder of that run.",
            "If the folder was emptied, stop and resume the run: the site then enrols anew.",
        )
    peers = {name: one for name, one in announced.items() if name != own}
    secrets = secrets_with(peers, context.keys.roster, session, context.run, study.fingerprint)
    _count_changes(names, envelope.exchange, context)
    bound_to = context_of(context.run, envelope.exchange, bytes.fromhex(digest), names)
    return hide(answer, own, secrets, bound_to, study.least_sites)


def _require_roster(names: Sequence[str], context: SiteContext) -> None:
    """See that a sum is over training sites of the study, in their order, and over enough."""
    study = context.study
    if list(names) != [name for name in study.training_sites if name in names]:
        raise RunError(
            f"A sum was asked for over {', '.join(names) or 'no sites'}; the training sites of the "
            f"study are {', '.join(study.training_sites)}.",
            "The coordinator does not follow the study. Speak to it before you go on.",
        )
    if context.site.name not in names or len(names) < study.least_sites:
        raise TooFewToHide(
            f"A sum was asked for over {', '.join(names) or 'no sites'}; this study needs "
            f"{study.least_sites}, this one among them.",
            "The coordinator must wait for more sites.",
        )


def _count_changes(names: Sequence[str], exchange: str, context: SiteContext) -> None:
    """Count how often the sites of a sum have changed, before another answer is given.

    Over all runs of a study: two runs over sites that differ by one tell what that one says, as two
    questions of one run do. Where the site approved leave one site out, over the runs of all
    studies of the family: the whole sets of their training sites, each without another site, are
    what it agreed to, and every other set is a change.

    Raises
    ------
    SetsChanged
        Too often; or the same question is asked for sites that were not in the sum before.
    """
    path = context.site.path / SETS_FILE
    kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    study = context.study
    held = kept.setdefault(context.family or study.fingerprint, {"changes": 0, "scopes": {}})
    scope, allowed = scope_of(exchange), study.secure_sum.set_changes
    agreed = None
    if context.family:
        scope = f"{study.fingerprint}/{scope}"
        agreed = {"run": "", "exchange": "", "sites": list(study.training_sites)}
    before = held["scopes"].get(scope, agreed)
    now = {"run": context.run, "exchange": exchange, "sites": list(names)}
    if before == now:
        return
    if before is not None and before["sites"] != now["sites"]:
        again = (before["run"], before["exchange"]) == (context.run, exchange)
        grows = again and not set(names) < set(before["sites"])
        if grows or held["changes"] >= allowed:
            raise SetsChanged(
                f"The question {exchange} was asked for a sum over {', '.join(names)}; before it "
                f"was over {', '.join(before['sites'])}, and the study allows {allowed} changes.",
                "Two sums over almost the same sites tell what one of them says. If sites really "
                "come and go so often, the study must allow more changes.",
            )
        held["changes"] += 1
    held["scopes"][scope] = now
    write_json(path, kept)
