"""The sites of a run as they enrolled."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from common.messages import EnrolAnswer
from common.secure_sum.session import Announcement
from common.study import Study
from common.versions import in_common


@dataclass(frozen=True)
class Roster:
    """The sites of a run as they enrolled, in the order of the study.

    `train` and `external` are those to ask: not one that was found unfit when the run went on.
    """

    answers: Mapping[str, EnrolAnswer]
    train: tuple[str, ...]
    external: tuple[str, ...]

    @property
    def versions(self) -> dict[str, str]:
        """What all sites have in common of the versions of Python and packages."""
        first = next(iter(self.answers.values()))
        return in_common(json.loads(first.versions))

    def pooled(self, sites: Sequence[str]) -> EnrolAnswer:
        """Describe several sites as if they were one: their patients and slices added up."""
        own = [self.answers[site] for site in sites]
        return replace(
            own[0],
            site=", ".join(sites),
            positive=sum(one.positive for one in own),
            negative=sum(one.negative for one in own),
            slices=sum(one.slices for one in own),
            session_key="",
            signature="",
        )

    def classes(self, study: Study) -> NDArray[np.int64]:
        """Count the patients (2,) of each class that the training sites enrolled."""
        own = [one for site, one in self.answers.items() if site in study.training_sites]
        counts = [[one.negative, one.positive] for one in own]
        return np.asarray(np.sum(counts, axis=0), dtype=np.int64)

    def announced(self, sites: Sequence[str]) -> tuple[Announcement, ...]:
        """Give the session keys of several sites, as they signed them."""
        return tuple(
            Announcement(
                site,
                bytes.fromhex(self.answers[site].session_key),
                bytes.fromhex(self.answers[site].signature),
            )
            for site in sites
        )
