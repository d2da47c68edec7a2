"""How the network does at each site, where the coordinator sees single answers anyway.

Under masks it sees sums only, and where each patient is hidden by noise nothing is measured: then
this stays empty. It is for whoever watches the run; no result is made of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from common.errors import MyoFedError
from common.messages import EnrolAnswer, TrainAnswer
from common.statistics.auc import auc_from_histogram
from common.study import Study
from server.total import Check


@dataclass
class SiteMeasures:
    """Notes the measures of one round as its answers are checked."""

    study: Study
    _found: dict[str, dict[str, float | None]] = field(default_factory=dict)

    def noting(self, check: Check[TrainAnswer]) -> Check[TrainAnswer]:
        """Give the check that also notes what an answer that passes it says."""
        if self.study.secure_sum.enabled or self.study.privacy.on:
            return check

        def noted(own: EnrolAnswer, answer: TrainAnswer) -> None:
            check(own, answer)
            self._found[own.site] = measures(answer)

        return noted

    def as_event(self) -> dict[str, dict[str, dict[str, float | None]]]:
        """Give what was noted, as a field of the event; nothing where nothing was."""
        return {"sites": self._found} if self._found else {}


def measures(answer: TrainAnswer) -> dict[str, float | None]:
    """Give loss and AUC of the network that a site received, on its validation patients."""
    loss, weight = (float(value) for value in answer.validation)
    try:
        auc: float | None = round(auc_from_histogram(answer.histogram).auc, 4)
    except MyoFedError:
        auc = None
    return {
        "training_loss": round(answer.loss / max(answer.slices, 1), 6),
        "validation_loss": round(loss / weight, 6) if weight else None,
        "validation_auc": auc,
    }
