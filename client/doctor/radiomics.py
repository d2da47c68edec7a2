"""The radiomics: does this computer measure the same numbers as others."""

from __future__ import annotations

from collections.abc import Mapping

from common.check import Check, failed, passed, warned
from common.study import Study
from common.study_tables import Preprocessing, Radiomics

NAME = "radiomics self-test"
DIGEST = "02aaca6e9997c56f"
"""Of the built-in slice, measured by the default recipe with the packages of constraints.txt."""

_SAME = (
    "Install the packages of constraints.txt. If they are installed, ask the other sites for their "
    "digest: sites that differ are refused at enrolment."
)


def radiomics_check(studies: Mapping[str, Study]) -> Check:
    """Measure the built-in slice by the default recipe and by that of each approved study."""
    import numpy as np

    from client.imaging.recipes import preprocessing_of, radiomics_of
    from client.imaging.selftest import self_test, self_test_digest

    for study in studies.values():
        recipe = radiomics_of(study.radiomics)
        values = self_test(preprocessing_of(study.preprocessing), recipe)
        if not np.isfinite(values).all():
            return failed(
                NAME,
                f"By the recipe of {study.name}, {int((~np.isfinite(values)).sum())} of "
                f"{values.size} values of the built-in slice are no numbers.",
                "Tell the coordinator: the study's recipe cannot be used.",
            )
    found = self_test_digest(preprocessing_of(Preprocessing()), radiomics_of(Radiomics()))
    if found != DIGEST:
        return warned(
            NAME,
            f"The built-in slice gives {found} here, and {DIGEST} where MyoFed was tested.",
            _SAME,
        )
    return passed(NAME, f"The built-in slice gives {DIGEST}, as where MyoFed was tested.")
