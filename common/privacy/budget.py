"""The budget of a site's patients: everything released about them, and what it came to so far.

One ledger holds weights, sums and metrics of all runs, since all are about the same patients.
A patient is not in every release. With F folds it trains in F - 1 and validates in one, so the
ledger adds up separately for each group of patients (those that validate in fold 0, 1, ...; with
one fold also those that never do) and the worst-off group counts. That holds only if the fold of a
patient does not depend on the other patients: see `client.private.folds`. Groups of one draw of
folds (`scope`) say nothing of those of another, so over scopes the worst of each is added up.

The rule is a filter of Rényi differential privacy (Lécuyer, arXiv:2103.01379): a release is
entered before it is made, and one that would exceed epsilon at delta is refused, so the total
never does, whatever is asked next in the light of what was answered.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from common.errors import MyoFedError
from common.files import write_json
from common.privacy.accounting import ORDERS, Floats, PrivacyError, curve, epsilon_of

Kind = Literal["weights", "sums", "metrics"]
Touches = Literal["all", "training", "validating"]

NEVER = -1
"""The group of patients that validate in no fold."""


class BudgetSpent(MyoFedError):
    """A release would take more than is left of the privacy budget."""

    code = "privacy-budget-spent"
    public = "The site's privacy budget does not allow another answer."


class BudgetDamaged(MyoFedError):
    """The ledger cannot be read, so what was spent is not known."""

    code = "privacy-budget-damaged"
    public = "The site's privacy ledger cannot be read."


@dataclass(frozen=True)
class Release:
    """Gaussian releases about patients, made together.

    Attributes
    ----------
    name : the same only for the very same answer, as `secret_noise.name_of` gives it
    what : for people, for example ``weights of fold 0, round 3``
    noise_multiplier : noise over sensitivity to one patient
    sampling_rate, steps : of training; a plain sum has rate 1 and one step
    scope : names the draw of folds: the fingerprint of the study
    folds : of the study; 0 where patients are in no fold, as at an external site
    fold, touches : who is in it: all patients, or those that train or validate in this fold
    """

    name: str
    what: str
    kind: Kind
    noise_multiplier: float
    sampling_rate: float = 1.0
    steps: int = 1
    scope: str = ""
    folds: int = 0
    fold: int = 0
    touches: Touches = "all"

    def __post_init__(self) -> None:
        if self.touches != "all" and not 0 <= self.fold < self.folds:
            raise PrivacyError(
                f"A release about fold {self.fold} of {self.folds} was to be entered.",
                "Folds count from 0.",
            )

    @property
    def cost(self) -> Floats:
        """Give its Rényi curve over `ORDERS`."""
        return curve(self.noise_multiplier, self.sampling_rate, self.steps)

    def concerns(self, group: int) -> bool:
        """Say whether patients of a group are in it."""
        if self.touches == "all":
            return True
        return (group == self.fold) == (self.touches == "validating")


@dataclass(frozen=True)
class Entry:
    """A release, and the epsilon that all up to it came to."""

    release: Release
    epsilon: float


@dataclass(frozen=True)
class Budget:
    """What may be spent, epsilon at delta for each patient, and what was.

    `require` gives a budget with one more release; nothing is changed in place.
    """

    epsilon: float
    delta: float
    entries: tuple[Entry, ...] = ()

    def __post_init__(self) -> None:
        if not (0.0 < self.epsilon < math.inf and 0.0 < self.delta < 1.0):
            raise PrivacyError(
                f"The budget is epsilon {self.epsilon} at delta {self.delta}.",
                "Epsilon is above 0, delta between 0 and 1.",
            )

    @property
    def spent(self) -> float:
        """Give epsilon at delta of all releases so far."""
        return self._epsilon([entry.release for entry in self.entries])

    def curve_of_others(self, scope: str) -> Floats:
        """Give the Rényi curve of all that was spent outside a scope, that is on other studies."""
        others = [one.release for one in self.entries if one.release.scope != scope]
        return _worst(others)

    def require(self, release: Release) -> Budget:
        """Enter a release before it is made, or the same budget if it was entered before.

        Raises
        ------
        BudgetSpent
            It would exceed the budget.
        PrivacyError
            Another release was entered under its name.
        """
        for entry in self.entries:
            if entry.release.name == release.name:
                if replace(entry.release, what=release.what) != release:
                    raise PrivacyError(
                        f"'{release.what}' has the name of '{entry.release.what}', with other "
                        "numbers.",
                        "Name a release by all that its answer depends on.",
                    )
                return self
        after = self._epsilon([*(entry.release for entry in self.entries), release])
        if not after <= self.epsilon:
            raise BudgetSpent(
                f"With '{release.what}' the patients of this site would have spent epsilon "
                f"{after:.3g} of {self.epsilon:g} (delta {self.delta:g}); so far it is "
                f"{self.spent:.3g}.",
                "The run ends here. A study with more noise or fewer rounds spends less.",
            )
        return replace(self, entries=(*self.entries, Entry(release, after)))

    def save(self, path: Path) -> None:
        """Write the ledger as JSON, whole or not at all."""
        write_json(
            path,
            {
                "epsilon": self.epsilon,
                "delta": self.delta,
                "spent": self.spent,
                "entries": [
                    {**asdict(entry.release), "epsilon": entry.epsilon} for entry in self.entries
                ],
            },
        )

    @classmethod
    def load(cls, path: Path, epsilon: float, delta: float) -> Budget:
        """Read what was spent, under the limits of the study at hand; nothing if there is no file.

        Raises
        ------
        BudgetDamaged
            The file is not a ledger.
        """
        if not path.exists():
            return cls(epsilon, delta)
        try:
            listed = json.loads(path.read_text(encoding="utf-8"))["entries"]
            entries = tuple(_entry(dict(one)) for one in listed)
        except (OSError, ValueError, TypeError, KeyError, PrivacyError) as error:
            raise BudgetDamaged(
                f"{path} is no privacy ledger: {error}.",
                "Put it back from a backup. Without it, count the budget as spent.",
            ) from None
        return cls(epsilon, delta, entries)

    def _epsilon(self, releases: list[Release]) -> float:
        return epsilon_of(_worst(releases), self.delta)


def _worst(releases: list[Release]) -> Floats:
    """Add up over scopes the curve of the group that is worst off in each."""
    total = np.zeros(len(ORDERS))
    for scope in dict.fromkeys(release.scope for release in releases):
        own = [release for release in releases if release.scope == scope]
        folds = max(release.folds for release in own)
        groups = [*range(folds), *([NEVER] if folds < 2 else [])]
        total = total + np.max([_sum(own, group) for group in groups], axis=0)
    return total


def _sum(releases: list[Release], group: int) -> Floats:
    curves = [release.cost for release in releases if release.concerns(group)]
    return np.asarray(np.sum([np.zeros(len(ORDERS)), *curves], axis=0), dtype=np.float64)


def _entry(content: dict[str, object]) -> Entry:
    epsilon = content.pop("epsilon")
    if not isinstance(epsilon, float | int):
        raise TypeError("an epsilon is not a number")
    release = Release(**content)  # type: ignore[arg-type]
    _ = release.cost
    return Entry(release, float(epsilon))
