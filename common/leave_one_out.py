"""Leave one site out: the studies in which each training site in turn is the external one.

Each is an ordinary study, derived from its parent by `Study.leaving_out`, so whoever holds the
parent knows all of them, and their fingerprints. Sites that the parent calls external stay so.
"""

from __future__ import annotations

import json
from functools import lru_cache

from pydantic import ValidationError

from common.errors import StudyError
from common.study import Study


def left_out(study: Study) -> dict[str, Study]:
    """Give the derived studies by the site that is left out, in the order of the roster.

    Whether the parent asks for leave one site out is for the caller to see: a simulation does not
    need it, a site does.

    Raises
    ------
    StudyError
        A site cannot be left out; the message names the key that forbids it.
    """
    content = study.model_dump(mode="json") | {"leave_one_site_out": True}
    try:
        Study.model_validate_json(json.dumps(content))
    except ValidationError as error:
        reason = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise StudyError(
            f"The study {study.name} cannot leave one site out: {reason}.",
            "Change the study, and let the sites approve it anew.",
        ) from None
    return {site: study.leaving_out(site) for site in study.training_sites}


def family(study: Study) -> dict[str, Study]:
    """Give what a site approves with a study beside the study itself, by fingerprint.

    Empty where the study does not ask for leave one site out.
    """
    return dict(_family(study.canonical())) if study.leave_one_site_out else {}


@lru_cache(maxsize=32)
def _family(canonical: str) -> tuple[tuple[str, Study], ...]:
    # A worker looks this up for every question, and a large roster has many derived studies.
    parent = Study.model_validate_json(canonical)
    derived = (parent.leaving_out(site) for site in parent.training_sites)
    return tuple((one.fingerprint, one) for one in derived)
