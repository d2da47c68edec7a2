"""Enrol: say who the site is, what it runs, and how many patients it has."""

from __future__ import annotations

import json

from client.context import SiteContext
from client.imaging.recipes import preprocessing_of, radiomics_of
from client.imaging.selftest import recipe_hash, self_test_digest
from common.errors import TooFewPatients
from common.messages import EnrolAnswer, EnrolQuestion
from common.versions import package_versions


def answer(question: EnrolQuestion, context: SiteContext) -> EnrolAnswer:
    """Describe the site.

    Raises
    ------
    TooFewPatients
        A class has fewer patients than the study's minimum cell; nothing is told then.
    """
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
    )
