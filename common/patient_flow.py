"""The flow of patients at a site: how many were listed, left out and why, and used.

Reasons are fixed here, since a site's own words would quote its table.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from common.messages import Arrays
from common.statistics.small_cells import is_small, may_show

NO_LABEL = "no label"
OTHER_LABEL = "label of neither class"
EXCLUDED_LABEL = "label excluded at import"
NO_IMAGE = "no usable image with mask"
NO_PHASE = "no image of the study's phases"
REASONS = (NO_LABEL, OTHER_LABEL, EXCLUDED_LABEL, NO_IMAGE, NO_PHASE)
LISTED, USED = 0, 1
FIRST_REASON = 2


def flow_shapes() -> dict[str, tuple[int, ...]]:
    """Shapes of the arrays of a flow, all of whole numbers."""
    return {
        "told": (FIRST_REASON + len(REASONS),),
        "listed": (1,),
        "used": (2,),
        "excluded": (len(REASONS),),
    }


def flow_arrays(excluded: Mapping[str, int], used: tuple[int, int], minimum: int) -> Arrays:
    """Lay a site's flow out, without what is small or follows from what is not.

    Parameters
    ----------
    excluded
        Patients left out, by reason; a reason that is absent is not known.
    used
        Negatives and positives with slices in the study.

    Returns
    -------
    ``told``, whether the number listed, the number used and each reason is told; and the numbers,
    0 where they are not. Enrolment counts patients without an image of the study's phases, so these
    follow from the number used.
    """
    held = np.array([excluded.get(reason, 0) for reason in REASONS], np.int64)
    is_known = np.array([reason in excluded for reason in REASONS])
    told = np.zeros(FIRST_REASON + len(REASONS), np.int64)
    told[FIRST_REASON:] = is_known & may_show(held, minimum)
    phase = int(excluded.get(NO_PHASE, 0))
    told[USED] = not is_small(phase, minimum)
    # From the number listed follows how many were left out, before enrolment and in all.
    small = is_small(int(held.sum()) - phase, minimum) or is_small(int(held.sum()), minimum)
    told[LISTED] = is_known.all() and told[USED] and not small
    return {
        "told": told,
        "listed": np.array([(held.sum() + sum(used)) * told[LISTED]], np.int64),
        "used": np.array(used, np.int64) * told[USED],
        "excluded": held * told[FIRST_REASON:],
    }


def flow_in_words(arrays: Arrays) -> dict[str, object]:
    """Lay a flow out for results.json; what is not told is None, and no reason of 0 is named."""
    told = np.asarray(arrays["told"], np.bool_)
    counts = np.asarray(arrays["excluded"], np.int64).tolist()
    reasons = {
        reason: int(count) if is_told else None
        for reason, count, is_told in zip(REASONS, counts, told[FIRST_REASON:], strict=True)
        if count or not is_told
    }
    return {
        "listed": int(arrays["listed"][0]) if told[LISTED] else None,
        "excluded": reasons,
        "used": int(np.sum(arrays["used"])) if told[USED] else None,
    }
