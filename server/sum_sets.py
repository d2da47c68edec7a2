"""Over which sites each sum of a run is taken, and how often that may still change.

Two totals over sets that differ by one site tell what that site says. Sites therefore answer for
another set than before, within one stage and fold, only as often as the study allows in a run; the
coordinator keeps the same account, and waits for a site rather than exceed it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from common.errors import RunError
from common.files import write_json
from common.secure_sum.scope import scope_of
from common.study import Study

Sites = tuple[str, ...]

SETS_FILE = "sets.json"
"""The account of a run, beside its events."""


class SumSets:
    """The account of one run, kept in a file beside its events."""

    def __init__(self, path: Path, study: Study) -> None:
        self._path = path
        self._study = study
        held: dict[str, Any] = {"changes": 0, "scopes": {}, "questions": {}}
        if path.exists():
            held = json.loads(path.read_text(encoding="utf-8"))
        self.changes = int(held["changes"])
        self._scopes: dict[str, Sites] = _tuples(held["scopes"])
        self._questions: dict[str, list[Sites]] = {
            name: [tuple(one) for one in sets] for name, sets in held["questions"].items()
        }

    @property
    def left(self) -> int:
        """How often the set of a sum may still change."""
        return self._study.secure_sum.set_changes - self.changes

    def first(
        self, exchange: str, sites: Sequence[str], ready: Iterable[str], back: Iterable[str]
    ) -> Sites:
        """Say over which sites a question is asked; what was asked before stays as it was last.

        Parameters
        ----------
        sites
            All that could be asked.
        ready, back
            Those that can answer now; those among them that were away and came back.
        """
        if exchange in self._questions:
            return self._questions[exchange][-1]
        scope = scope_of(exchange)
        chosen = self._chosen(self._scopes.get(scope), sites, set(ready), set(back))
        self._questions[exchange] = [chosen]
        self._scopes[scope] = chosen
        self._save()
        return chosen

    def asked(self, exchange: str) -> int:
        """Count the sets that a question was put to, the last of them included."""
        return len(self._questions.get(exchange, []))

    def next(self, exchange: str, answered: Sites, missing: Mapping[str, str]) -> Sites:
        """Say over which sites a question is asked again, after some did not answer.

        Raises
        ------
        RunError
            The study allows no further change.
        """
        if self.left < 1:
            told = "; ".join(f"{site}: {reason}" for site, reason in sorted(missing.items()))
            raise RunError(
                f"Without {', '.join(sorted(missing))} the sum of {exchange} would be over other "
                "sites than before, and the study allows no further change of that kind "
                f"(secure_sum.set_changes is {self._study.secure_sum.set_changes}). {told}",
                "See that the site answers, then resume the run.",
            )
        self.changes += 1
        self._questions[exchange].append(answered)
        self._scopes[scope_of(exchange)] = answered
        self._save()
        return answered

    def _chosen(
        self, before: Sites | None, sites: Sequence[str], ready: set[str], back: set[str]
    ) -> Sites:
        study = self._study
        wanted = ready if before is None else (ready & set(before)) | back
        wanted |= set(study.mandatory_sites)
        found = tuple(site for site in sites if site in wanted)
        if len(found) < study.least_sites:
            # Too few are there: wait for those that are away.
            return before or tuple(sites)
        if before is None or found == before:
            return found
        # A site that comes back may wait; one change is kept for a site that is lost.
        is_loss = bool(set(before) - set(found))
        if self.left < (1 if is_loss else 2):
            return before
        self.changes += 1
        return found

    def _save(self) -> None:
        content = {
            "changes": self.changes,
            "scopes": self._scopes,
            "questions": self._questions,
        }
        write_json(self._path, content)


def _tuples(held: Mapping[str, Sequence[str]]) -> dict[str, Sites]:
    return {name: tuple(sites) for name, sites in held.items()}
