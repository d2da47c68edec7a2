"""The two faces of a failure at a site: detail in its own log, a fixed sentence on the network."""

from __future__ import annotations

import logging
from collections.abc import Callable

from flwr.app import RecordDict

from common.errors import HarmonizationError, MyoFedError
from common.messages import Refusal
from common.records import refusal_record
from harmonization import HarmonizationError as SolverError


def answer_or_refuse(
    log: logging.Logger,
    stage: str,
    answer: Callable[[], RecordDict],
    note: Callable[[Refusal], Refusal],
) -> RecordDict:
    """Give what `answer` gives; what it raises goes to the log, and a refusal is given instead.

    `note` writes the refusal down, and gives the one that leaves.
    """
    try:
        return answer()
    except MyoFedError as error:
        log.error("%s: %s", stage, error)
        return refusal_record(note(Refusal(error.code, error.public)))
    except SolverError as error:
        log.error("%s: %s", stage, error)
        return refusal_record(note(Refusal(HarmonizationError.code, HarmonizationError.public)))
    except Exception:
        log.exception("%s failed", stage)
        return refusal_record(note(Refusal("internal", MyoFedError.public)))
