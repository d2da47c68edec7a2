"""Sites in memory: rows with random features and images, and contexts that hold them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import SimpleITK as sitk
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from client.cohort.folds import draw_folds
from client.cohort.patients import Case
from client.cohort.rows import SiteRows
from client.cohort.site_folder import SiteFolder, SiteInfo
from client.context import SiteContext
from client.site_keys import SiteKeys, session_key
from client.worker.worker import Worker
from common.course import exchange_of
from common.messages import EnrolAnswer, Hidden, Question, Refusal
from common.question_kinds import ANSWERS
from common.records import Envelope, from_answer, to_record
from common.secure_sum.session import Announcement, announce
from common.study import Study
from server.federation import Check, Judge
from server.roster import Roster
from server.run import RunFolder

SIDE = 128
RUN = "run-1"
Answer = TypeVar("Answer")


def make_study(sites: Mapping[str, str] | Sequence[str] = ("a", "b", "c"), **content: Any) -> Study:
    """A study of small networks; names alone are training sites. Nothing is summed under masks."""
    roles = sites if isinstance(sites, Mapping) else dict.fromkeys(sites, "train")
    roster = [{"name": name, "role": role} for name, role in roles.items()]
    defaults: dict[str, Any] = {
        "cnn": {"width": 0.02, "dropout": 0.2},
        "cohort": {"minimum_patients_per_class": 2},
        "training": {"rounds": 2, "averaged_rounds": 1},
        "secure_sum": {"enabled": False},
    }
    return Study.model_validate({"name": "tiny", "sites": roster} | defaults | content)


def rings(
    rng: np.random.Generator, labels: np.ndarray[Any, Any]
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Noisy images (n, 128, 128) with a ring-shaped mask; the ring is brighter where label is 1."""
    y, x = np.mgrid[:SIDE, :SIDE]
    images, masks = [], []
    for label in labels:
        centre = 64 + rng.uniform(-8, 8, 2)
        away = np.hypot(y - centre[0], x - centre[1])
        mask = (away < 26) & (away >= 14)
        picture = 0.3 + 0.3 * rng.random((SIDE, SIDE)) + (0.1 + 0.3 * label) * mask
        images.append(picture.clip(0, 1).astype(np.float32))
        masks.append(mask.astype(np.float32))
    return np.stack(images), np.stack(masks)


def make_rows(
    name: str,
    study: Study,
    seed: int,
    patients: int = 10,
    slices: int = 3,
    features: int = 12,
    shift: float = 0.0,
    with_images: bool = True,
) -> SiteRows:
    """A site of equal classes, whose features 0 and 1 tell them apart and move with age."""
    rng = np.random.default_rng(seed)
    patient_labels = np.arange(patients) % 2
    owner = np.repeat(np.arange(patients), slices)
    labels = patient_labels[owner]
    age = rng.normal(55 + 3 * shift, 9, patients)
    x = rng.normal(size=(owner.size, features)) * rng.uniform(0.5, 2.0) + shift
    x[:, 0] += 1.6 * labels
    x[:, 1] += 1.2 * labels + 0.05 * (age[owner] - 55)
    blank = np.zeros((owner.size, SIDE, SIDE), np.float32)
    images, masks = rings(rng, labels) if with_images else (blank, blank)
    external = name in study.external_sites
    folds = np.full(patients, -1) if external else draw_folds(patient_labels, study, name)
    return SiteRows(
        site=name,
        patient_ids=tuple(f"{name}-{number:03d}" for number in range(patients)),
        patient_labels=patient_labels,
        folds=folds,
        patient=owner,
        labels=labels,
        features=x,
        images=images,
        masks=masks,
        batch=(name,) * owner.size,
        covariates={
            covariate.name: [f"{age[i]:.3f}" for i in owner]
            for covariate in study.harmonization.covariates
        },
    )


def with_origin(rows: SiteRows, folder: Path) -> SiteRows:
    """The same rows, each slice from a case with a mask on disk that has a right ventricle."""
    y, x = np.mgrid[:SIDE, :SIDE]
    away = np.hypot(y - 64, x - 64)
    labels = np.zeros((SIDE, SIDE), np.uint8)
    labels[(away < 40) & (x < 50)] = 3
    labels[away < 26], labels[away < 14] = 2, 1
    depth = int(np.bincount(rows.patient).max())
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{rows.site}-mask.nii.gz"
    sitk.WriteImage(sitk.GetImageFromArray(np.repeat(labels[None], depth, axis=0)), str(path))
    origin, seen = [], dict.fromkeys(rows.patient.tolist(), 0)
    for number in rows.patient.tolist():
        origin.append((Case(rows.patient_ids[number], "ED", path, path), seen[number]))
        seen[number] += 1
    return replace(rows, origin=tuple(origin))


def hold(rows: SiteRows, study: Study, folder: Path) -> SiteContext:
    """A context whose rows are already read."""
    info = SiteInfo(rows.site, "test", 2, "scar", "none", "", {})
    keys = SiteKeys(identity_of(rows.site), roster_keys(study))
    context = SiteContext(SiteFolder(folder / rows.site, info), study, RUN, given_keys=keys)
    context.__dict__["rows"] = rows
    return context


def identity_of(name: str) -> Ed25519PrivateKey:
    """The identity key of a site in memory."""
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode()).digest())


def roster_keys(study: Study) -> dict[str, bytes]:
    """The public identity keys of all sites of a study."""
    return {
        site.name: identity_of(site.name).public_key().public_bytes_raw() for site in study.sites
    }


class Direct:
    """A federation without a network: answers go through their records and the server's checks."""

    def __init__(self, contexts: Mapping[str, SiteContext], run: RunFolder) -> None:
        self.workers = {name: Worker(context) for name, context in contexts.items()}
        self.contexts = dict(contexts)
        self.run = run
        self.questions: list[Question] = []
        self.seen: list[tuple[str, str, object]] = []

    def ask(
        self,
        question: Question,
        sites: Sequence[str],
        kind: type[Answer],
        check: Check[Answer] | None = None,
        judge: Judge[Answer] | None = None,
        announced: tuple[Announcement, ...] = (),
        attempt: int = 1,
    ) -> dict[str, Answer]:
        """Answers by site; all that came is in `seen`, with the site and the exchange."""
        assert kind in (ANSWERS[question.stage], Hidden)
        assert check is not None, question.stage
        self.questions.append(question)
        answers: dict[str, Answer] = {}
        envelope = Envelope(RUN, exchange_of(question), announced)
        for name in sites:
            record = self.workers[name].ask(question.stage, to_record(question), envelope)
            answer = from_answer(kind, record)
            assert not isinstance(answer, Refusal), f"{name}: {answer}"
            check(name, answer)
            self.seen.append((name, envelope.exchange, answer))
            answers[name] = answer
        return answers

    def forget(self, question: Question) -> None:
        """Nothing is kept here."""

    def ready(self, sites: Sequence[str]) -> tuple[list[str], list[str]]:
        """All sites are there from beginning to end."""
        return list(sites), []


def roster_of(sites: Sequence[SiteRows], study: Study) -> Roster:
    """The sites as they would have enrolled."""
    enrolled = {
        rows.site: EnrolAnswer(
            site=rows.site,
            fingerprint=study.fingerprint,
            recipe="",
            self_test="",
            versions="{}",
            positive=int(rows.patient_labels.sum()),
            negative=int((1 - rows.patient_labels).sum()),
            slices=int(rows.labels.size),
        )
        for rows in sites
    }
    return Roster(enrolled, study.training_sites, study.external_sites)


def federation_of(sites: Sequence[SiteRows], study: Study, folder: Path) -> tuple[Direct, Roster]:
    """The sites as a federation, and their roster."""
    contexts = {rows.site: hold(rows, study, folder) for rows in sites}
    direct = Direct(contexts, RunFolder.begin(folder / "run", study))
    roster = roster_of(sites, study)
    return direct, with_keys(roster, contexts) if study.secure_sum.enabled else roster


def with_keys(roster: Roster, contexts: Mapping[str, SiteContext]) -> Roster:
    """The roster with the session keys that the training sites announce."""
    answers = dict(roster.answers)
    for name in roster.train:
        context = contexts[name]
        made = announce(
            session_key(context.memory.folder),
            context.keys.own,
            RUN,
            context.study.fingerprint,
            name,
        )
        answers[name] = replace(
            answers[name], session_key=made.key.hex(), signature=made.signature.hex()
        )
    return replace(roster, answers=answers)
