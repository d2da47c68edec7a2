"""What `[report]` asks of a site, in plain words for the person who approves a study."""

from __future__ import annotations

from common.study import Study
from common.study_report import SITE
from common.study_tables import Site

Lines = list[tuple[str, str]]


def asked_for_report(study: Study) -> str:
    """Say what is asked for the report."""
    asked = study.report
    names = ", ".join(variable.name for variable in asked.variables) or "no variables"
    parts = {
        f"flow of patients and table 1 ({names})": asked.patients,
        "how each image feature differs between sites": asked.features,
        f"how well images tell {_told(study)}": bool(asked.site_card),
        f"subgroups by {', '.join(one.name for one in asked.subgroups)}": bool(asked.subgroups),
    }
    return "; ".join(words for words, is_asked in parts.items() if is_asked)


def leaves_for_report(study: Study, own: Site) -> Lines:
    """Say what leaves of this site for the report, and who can read it."""
    asked, least = study.report, study.cohort.minimum_patients_per_class
    external = own.role == "external"
    hides = study.secure_sum.enabled and not external
    lines: Lines = []
    if asked.patients:
        lines.append(
            (
                "describe",
                "in the clear, of this site alone: patients listed, left out and why, used; no "
                f"number below {least}, and none from which one would follow",
            )
        )
    if asked.has_table:
        names = ", ".join(variable.name for variable in asked.variables)
        lines.append(
            (
                "describe",
                f"masked: counts, sums, squares and histograms of {names}, by class; what only "
                "this site knows of its patients would show as this site's"
                if hides
                else f"in the clear, of this site alone: {names} by class, as counts, or as means "
                f"and quartiles, rounded; no count below {least}",
            )
        )
    if not external and asked.compares:
        lines.append(("card", _card(study, hides=hides)))
    if external and asked.subgroups:
        names = ", ".join(variable.name for variable in asked.subgroups)
        lines.append(
            (
                "validate",
                f"in the clear, of this site alone: the same results by {names}; of a variable "
                f"nothing where a subgroup has fewer than {least} patients of a class",
            )
        )
    return lines


def _card(study: Study, *, hides: bool) -> str:
    parts = []
    if study.report.features:
        how = "masked" if hides else "in the clear, of this site alone"
        parts.append(f"{how}: how far each image feature's mean lies from zero, and its squares")
    if study.report.site_card:
        parts.append(
            f"sums of {study.report.components} components of image features by {_told(study)}: "
            "from them the coordinator learns in which direction this site's images differ from "
            "the others', masked or not"
        )
    return "; ".join(parts)


def _told(study: Study) -> str:
    return ", ".join("the site" if of == SITE else of for of in study.report.site_card)
