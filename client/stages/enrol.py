"""Enrol: say who the site is, what it runs, and how many patients it has.

As what it enrolled, it stays for the run. Should its software or its cohort change meanwhile, the
other questions of the run are refused: the coordinator asks only once who is there.
"""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

from client.context import SiteContext
from client.imaging.recipes import preprocessing_of, radiomics_of
from client.imaging.selftest import recipe_hash, self_test_digest
from client.private.spending import require_room
from client.site_keys import session_key
from common.errors import ChangedSinceEnrolment, TooFewPatients
from common.files import write_json
from common.machine import machine_in_words
from common.messages import EnrolAnswer, EnrolQuestion
from common.secure_sum.session import announce
from common.versions import package_versions


def answer(question: EnrolQuestion, context: SiteContext) -> EnrolAnswer:
    """Describe the site, and remember what was said.

    Raises
    ------
    TooFewPatients
        A class has fewer patients than the study's minimum cell; nothing is told then.
    TooLittleLeft
        The study does not fit into the privacy budget of the site's patients.
    """
    found = _described(context)
    require_room(context)
    write_json(_memory(context), asdict(found))
    if not context.hides:
        return found
    announced = announce(
        session_key(context.memory.folder),
        context.keys.own,
        context.run,
        context.study.fingerprint,
        found.site,
    )
    return replace(found, session_key=announced.key.hex(), signature=announced.signature.hex())


def require_as_enrolled(context: SiteContext) -> None:
    """See that the site is what it enrolled as, if it did in this run.

    Raises
    ------
    ChangedSinceEnrolment
        Its software, recipe or cohort is another one.
    """
    path = _memory(context)
    if not path.exists():
        return
    held, now = json.loads(path.read_text(encoding="utf-8")), asdict(_described(context))
    differing = [name for name in now if name != "machine" and held.get(name) != now[name]]
    if differing:
        told = "; ".join(f"{name} was {held.get(name)}, is {now[name]}" for name in differing)
        raise ChangedSinceEnrolment(
            f"Site {context.site.name} is not as it enrolled in the run {context.run}: {told}.",
            "Restore what it was. Or the coordinator stops and resumes the run, which asks anew.",
        )


def _memory(context: SiteContext) -> Path:
    return context.memory.folder / "enrolled.json"


def _described(context: SiteContext) -> EnrolAnswer:
    study, rows = context.study, context.rows
    positive = int(rows.patient_labels.sum())
    negative = int(rows.patient_labels.size - positive)
    least = study.cohort.minimum_patients_per_class
    if min(positive, negative) < least:
        raise TooFewPatients(
            f"Site {rows.site} has {positive} positive and {negative} negative patients; the study "
            f"asks for at least {least} of each.",
            "Add patients, or take the site out of the roster.",
        )
    images = preprocessing_of(study.preprocessing)
    recipe = radiomics_of(study.radiomics)
    return EnrolAnswer(
        site=rows.site,
        fingerprint=study.fingerprint,
        recipe=recipe_hash(images, recipe),
        self_test=self_test_digest(images, recipe),
        versions=json.dumps(package_versions(), sort_keys=True),
        positive=positive,
        negative=negative,
        slices=int(rows.labels.size),
        machine=machine_in_words(),
    )
