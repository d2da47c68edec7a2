"""An app such as a dishonest coordinator could send, if a node ever ran it: it takes what it can.

Started with the link's folder, the site's folder, the worker's process number, the approved study
and the file for its loot. It gives up the rights of root first: a node's user has none. Then it
reads, lists, spies, and asks the worker whatever it can think of.
"""

from __future__ import annotations

import codecs
import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from flwr.app import ConfigRecord, RecordDict

from client.link.line import WorkerLine
from common.cnn import initial_weights
from common.course import exchange_of
from common.folding import unfolded
from common.messages import (
    CalibrateQuestion,
    EnrolQuestion,
    FuseQuestion,
    HarmonizeQuestion,
    Question,
    TrainQuestion,
    ValidateQuestion,
)
from common.records import Envelope, sealed, to_record
from common.secure_sum.session import Announcement, announce
from common.study import Study

USER, GROUP = 61002, 61100
RUN = "run-of-a-thief"


def read_all(folder: Path) -> dict[str, str]:
    """Every file below a folder, as far as it can be read."""
    loot: dict[str, str] = {}
    for where, _, names in os.walk(folder):
        for name in names:
            try:
                loot[f"{where}/{name}"] = (Path(where) / name).read_bytes().decode("latin-1")
            except OSError:
                continue
    return loot


def spy_on(process: int) -> dict[str, str]:
    """What the system tells of another process."""
    loot: dict[str, str] = {}
    for name in ("environ", "mem", "maps", "cwd/pyproject.toml", "root/etc/shadow"):
        try:
            with open(f"/proc/{process}/{name}", "rb") as file:
                loot[name] = file.read(1 << 20).decode("latin-1")
        except OSError:
            continue
    return loot


def posted(
    question: Question, announced: tuple[Announcement, ...] = (), at: str = ""
) -> RecordDict:
    return sealed(to_record(question), Envelope(RUN, at or exchange_of(question), announced))


def peers(study: Study, own: str, honest: Announcement | None) -> tuple[Announcement, ...]:
    """Session keys of its own making for all peers: with them it would know every mask."""
    return tuple(
        honest
        if name == own and honest is not None
        else announce(
            X25519PrivateKey.generate(), Ed25519PrivateKey.generate(), RUN, study.fingerprint, name
        )
        for name in study.training_sites
    )


def questions(study: Study) -> dict[str, tuple[str, RecordDict]]:
    """What can be asked without an answer to build on."""
    name = study.fingerprint
    weights = initial_weights(study.cnn.width, 0.5, 128, 1)
    means = {str(fold): np.zeros(0) for fold in range(study.folds)}
    train = TrainQuestion(name, 0, 1, 20, np.ones(2), weights)
    enrol = EnrolQuestion(name)
    strange = RecordDict({"fields": ConfigRecord({"fingerprint": name}), "path": ConfigRecord({})})
    return {
        "another study": ("enrol", posted(EnrolQuestion("0" * 64))),
        "no envelope": ("enrol", to_record(enrol)),
        "an unknown stage": ("files", posted(enrol)),
        "another stage's question": ("train", posted(enrol)),
        "a strange record": ("enrol", strange),
        "a place that climbs": ("enrol", RecordDict(
            {**unfolded(posted(enrol)),
             "envelope": ConfigRecord({"run": "../..", "exchange": "enrol", "announced": "[]"})})),
        "calibrate first": ("calibrate", posted(CalibrateQuestion(name, {}))),
        "a round that is none": ("train", posted(replace(train, round=99))),
        "a fold that is none": ("train", posted(replace(train, fold=9))),
        "another place in the envelope": ("train", posted(train, at="train.0.2")),
        "another step": ("harmonize", posted(HarmonizeQuestion(name, "rows", means))),
        "all of fuse": ("fuse", posted(FuseQuestion(name, "everything"))),
        "validate where it trains": ("validate", posted(ValidateQuestion(name, "scores"))),
        "a sum of nobody": ("harmonize", posted(HarmonizeQuestion(name, "features", means))),
    }  # fmt: skip


def main() -> None:
    for name in ("ascii", "latin-1"):
        codecs.lookup(name)  # what Python loads late could not be read any more
    link, site, worker, study_file, out = sys.argv[1:]
    study = Study.model_validate_json(Path(study_file).read_text(encoding="utf-8"))
    own = study.training_sites[0]
    asked = questions(study)
    with open(out, "w", encoding="utf-8") as file:
        os.setgroups([GROUP])
        os.setgid(USER)
        os.setuid(USER)
        loot: dict[str, object] = {
            "environment": dict(os.environ),
            "files": read_all(Path(site)),
            "process": spy_on(int(worker)),
        }
        line = WorkerLine(link, patience=20.0, tries=1)
        answers = {what: _told(line.ask(stage, record)) for what, (stage, record) in asked.items()}
        enrolled = line.ask("enrol", posted(EnrolQuestion(study.fingerprint)))
        answers["enrol"] = _told(enrolled)
        fields = dict(unfolded(enrolled)["fields"])
        honest = Announcement(
            own, bytes.fromhex(str(fields["session_key"])), bytes.fromhex(str(fields["signature"]))
        )
        means = {str(fold): np.zeros(0) for fold in range(study.folds)}
        features = HarmonizeQuestion(study.fingerprint, "features", means)
        every = {
            "keys of its own making": peers(study, own, honest),
            "the site alone": (honest,),
            "a key in the site's name": peers(study, own, None),
        }
        for what, announced in every.items():
            answers[what] = _told(line.ask("harmonize", posted(features, announced)))
        loot["answers"] = answers
        json.dump(loot, file)


def _told(record: RecordDict) -> dict[str, object]:
    """A refusal's code and sentence, or all that an answer holds."""
    parts = dict(unfolded(record).items())
    if "refusal" in parts:
        return dict(parts["refusal"])  # type: ignore[arg-type]
    return {"fields": dict(parts["fields"]), "parts": sorted(parts)}  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
