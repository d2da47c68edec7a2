"""A site's worker that goes wrong in training: `python lying_worker.py SITE LINK KIND[,KIND...]`.

The kinds are taken in turn, one a round; `honest` is the right answer. With the kind `versions`
alone, it is at the handshake that it lies, about the software it runs. Everything else is answered
as the real worker does.
"""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from flwr.app import RecordDict

from client.link.service import LinkServer
from client.site_log import SITE_LOG, log_to
from client.worker.desk import WorkerDesk
from common.messages import EnrolAnswer, TrainAnswer, TrainQuestion
from common.records import from_answer, from_record, to_record, unsealed

SLOW_SECONDS = 31.0
"""A little more than the deadline."""
VERSIONS = "versions"


def spoiled(answer: TrainAnswer, kind: str) -> RecordDict:
    """Spoil an honest answer."""
    change = answer.change.copy()
    match kind:
        case "nan":
            change[3] = np.nan
        case "infinite":
            change[3] = np.inf
        case "huge":
            change *= np.float32(1e6)
        case "tiny":
            change *= np.float32(1e-6)
        case "short":
            change = change[:-1]
        case "double":
            return to_record(replace(answer, change=change.astype(np.float64)))
        case "negative":
            return to_record(replace(answer, slices=-answer.slices))
        case "many":
            return to_record(replace(answer, slices=10**9))
    return to_record(replace(answer, change=change))


def with_another_torch(record: RecordDict) -> RecordDict:
    """Say at the handshake that the site runs another torch."""
    answer = from_answer(EnrolAnswer, record)
    assert isinstance(answer, EnrolAnswer)
    versions = json.loads(answer.versions) | {"torch": "1.0.0"}
    return to_record(replace(answer, versions=json.dumps(versions)))


class Liar:
    """Answers through the desk of the site, and spoils what it says in training."""

    def __init__(self, site: Path, kinds: list[str]) -> None:
        self.desk = WorkerDesk(site)
        self.kinds = kinds

    def answer(self, stage: str, record: RecordDict) -> RecordDict:
        honest = self.desk.ask(stage, record)
        if stage == "enrol" and self.kinds == [VERSIONS]:
            return with_another_torch(honest)
        if stage != "train":
            return honest
        question = from_record(TrainQuestion, unsealed(record)[1])
        kind = self.kinds[(question.round - 1) % len(self.kinds)]
        if kind == "slow":
            time.sleep(SLOW_SECONDS)
        answer = from_answer(TrainAnswer, honest)
        assert isinstance(answer, TrainAnswer)
        return spoiled(answer, kind)


def main() -> None:
    site, link, kinds = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3].split(",")
    liar = Liar(site, kinds)
    log_to(site / SITE_LOG, liar.desk.site.name)
    server = LinkServer(liar.answer, link)
    server.start()
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    ended.wait()


if __name__ == "__main__":
    main()
