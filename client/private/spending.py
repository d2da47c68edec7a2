"""The budget of a site's patients on its own disk: entered before anything is released of them.

One file for all studies and runs, since all are about the same patients. A simulation spends from
it as well: the release that it makes tells as much as any.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from client.context import SiteContext
from client.private.secret import SECRET_FILE, site_secret
from common.errors import MyoFedError
from common.privacy.accounting import epsilon_of
from common.privacy.budget import Budget, BudgetDamaged, Kind, Release, Touches
from common.privacy.of_study import planned_curve
from common.privacy.secret_noise import SecretNoise, name_of

BUDGET_FILE = "privacy-budget.json"


class TooLittleLeft(MyoFedError):
    """A whole study does not fit into what is left of the budget, so it is not begun."""

    code = "privacy-budget-too-small"
    public = "What is left of the site's privacy budget does not suffice for this study."


def budget_of(site: Path, epsilon: float, delta: float) -> Budget:
    """Read what the patients of a site have spent, under the limits of a study.

    Raises
    ------
    BudgetDamaged
        The file is no ledger, or has been lost: there is a secret, so something was released.
    """
    path = Path(site) / BUDGET_FILE
    if not path.exists() and (Path(site) / SECRET_FILE).exists():
        raise BudgetDamaged(
            f"{path} is gone, and what was released before is in it.",
            "Put it back from a backup. Without it, count the budget as spent: the patients must "
            "not be in another private study.",
        )
    return Budget.load(path, epsilon, delta)


def kept_budget(site: Path) -> dict[str, Any]:
    """Give a site's ledger of privacy as it stands in its file; without one, with no entries.

    Raises
    ------
    BudgetDamaged
        The file is no ledger.
    """
    path = Path(site) / BUDGET_FILE
    budget_of(site, 1.0, 0.5)
    if not path.exists():
        return {"epsilon": 0.0, "delta": 0.0, "spent": 0.0, "entries": []}
    held: dict[str, Any] = json.loads(path.read_bytes())
    return held


def require_room(context: SiteContext) -> None:
    """See before a run begins that the whole study fits, so that nothing is spent in vain.

    What was spent on this very study counts as part of it: its answers are the same again.

    Raises
    ------
    TooLittleLeft
        It does not.
    """
    study = context.study
    if not study.privacy.on or context.external:
        return
    limit, delta = study.privacy.most, study.privacy.delta
    before = budget_of(context.site.path, limit, delta)
    others = before.curve_of_others(study.fingerprint)
    needed = epsilon_of(others + planned_curve(study), delta)
    if needed > limit:
        raise TooLittleLeft(
            f"With the study {study.name} the patients of {context.site.name} would have spent "
            f"epsilon {needed:.3g} of {limit:g} (delta {delta:g}); other studies have spent "
            f"{epsilon_of(others, delta):.3g}.",
            "A study with a higher privacy.limit would have room, if the hospital agrees to that.",
        )


def spend(
    context: SiteContext,
    subject: bytes,
    what: str,
    kind: Kind,
    noise_multiplier: float,
    *,
    sampling_rate: float = 1.0,
    steps: int = 1,
    fold: int = 0,
    touches: Touches = "all",
) -> bytes:
    """Enter a release before it is made; give the site's secret, from which its noise comes.

    Parameters
    ----------
    subject
        A digest of all that the answer depends on: the same release again costs nothing.

    Raises
    ------
    BudgetSpent
        It would exceed the budget.
    """
    study, path = context.study, context.site.path / BUDGET_FILE
    before = budget_of(context.site.path, study.privacy.most, study.privacy.delta)
    if not path.exists():
        before.save(path)  # before there is a secret, so that a ledger that was lost is noticed
    secret = site_secret(context.site.path)
    release = Release(
        name=name_of(secret, subject),
        what=what,
        kind=kind,
        noise_multiplier=noise_multiplier,
        sampling_rate=sampling_rate,
        steps=steps,
        scope=study.fingerprint,
        folds=study.folds,
        fold=fold,
        touches=touches,
    )
    after = before.require(release)
    if after is not before:
        after.save(path)
    return secret


def noise_for_release(secret: bytes, subject: bytes) -> SecretNoise:
    """Give the noise of a release, the same each time."""
    return SecretNoise(secret, b"noise", subject)
