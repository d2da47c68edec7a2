"""What a study asks about where the network looks."""

from __future__ import annotations

from common.study_tables import Section


class Explain(Section):
    """Whether external sites sum up, over the patients of each class, where the network looks.

    Each patient's Grad-CAM heat is averaged over the segments of the myocardium at the site; only
    sums over patients leave it.
    """

    attention: bool = False
