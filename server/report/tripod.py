"""TRIPOD+AI: G. S. Collins et al., BMJ 2024;385:e078378."""

from __future__ import annotations

from server.report.checklist import Facts, Item, filled, for_authors, partly
from server.report.words import plural

CITATION = (
    "Collins GS, Moons KGM, Dhiman P, et al. TRIPOD+AI statement: updated guidance for reporting "
    "clinical prediction models that use regression or machine learning methods. "
    "BMJ 2024;385:e078378."
)


def tripod(known: Facts) -> list[Item]:
    """Fill the items of TRIPOD+AI, sub-items each on its own."""
    return [*_opening(known), *_methods(known), *_analysis(known), *_closing(known)]


def _opening(known: Facts) -> list[Item]:
    aim = "Development" + (" and external evaluation." if known.external else ".")
    return [
        for_authors("1", "Title", "Title names the model, its population and outcome"),
        for_authors("2", "Abstract", "Abstract by its own checklist"),
        for_authors("3a", "Introduction", "Health context and existing models"),
        for_authors("3b", "Introduction", "Intended population, purpose and users"),
        for_authors("3c", "Introduction", "Known inequalities in health"),
        partly("4", "Introduction", "Objectives; development or evaluation", aim),
    ]


def _methods(known: Facts) -> list[Item]:
    study = known.study
    return [
        partly("5a", "Data", "Sources of data", f"{known.sites} (section 1.2)."),
        for_authors("5b", "Data", "Dates"),
        partly("6a", "Participants", "Setting and centres", f"{known.sites}."),
        for_authors("6b", "Participants", "Eligibility"),
        for_authors("6c", "Participants", "Treatments"),
        partly(
            "7", "Data preparation", "Preparation and quality checks",
            "One recipe at all sites, compared at enrolment; the recipe is in section 1.1.",
        ),
        partly(
            "8a", "Outcome", "What is predicted, and when",
            f"{study.outcome.positive} against {study.outcome.negative}, at the time of the scan.",
        ),
        for_authors("8b", "Outcome", "Who judged the outcome"),
        for_authors("8c", "Outcome", "Blinding of the outcome"),
        filled(
            "9a", "Predictors", "How predictors were chosen",
            "All radiomic features of the recipe and the network's; then correlation pruning and "
            "LASSO.",
        ),
        filled(
            "9b", "Predictors", "How they are defined",
            "PyRadiomics by the recipe of section 1.1; names of the selected ones in section 4.4.",
        ),
        for_authors("9c", "Predictors", "Who drew the masks, and their training"),
        for_authors("10", "Sample size", "How the sample size came about"),
        filled("11", "Missing data", "Missing data", known.missing),
    ]  # fmt: skip


def _analysis(known: Facts) -> list[Item]:
    study = known.study
    updated = (
        filled("12f", "Analysis", "Updating", "Recalibration on training sites, section 3.3.")
        if known.recalibrated
        else filled("12f", "Analysis", "Updating", "None.")
    )
    fair = (
        partly("14", "Fairness", "Fairness", "Performance in subgroups, section 4.3.")
        if known.subgroups
        else for_authors("14", "Fairness", "Fairness")
    )
    left_out = ", sites left out in turn (4.5)" if known.left_out else ""
    return [
        filled("12a", "Analysis", "How the data were used", known.partition),
        filled(
            "12b", "Analysis", "How predictors were handled",
            f"{study.harmonization.transform} transform, ComBat ({study.harmonization.mode}), "
            "standardised by pooled mean and deviation.",
        ),
        filled(
            "12c", "Analysis", "Kind of model and how it was built",
            "Convolutional network, L1 logistic heads, stack; size and penalty by loss on "
            "validation patients (section 1.1).",
        ),
        partly(
            "12d", "Analysis", "Differences between clusters",
            f"AUC within each site, harmonisation of sites{left_out}.",
        ),
        filled(
            "12e", "Analysis", "Measures of performance",
            f"{known.performance} Calibration and decision curves (section 3).",
        ),
        updated,
        filled(
            "12g", "Analysis", "How predictions were made",
            f"At the external site, with everything frozen: {study.fusion.patient_score} over "
            f"slices, mean of {plural(study.folds, 'fold')}.",
        ),
        filled(
            "13", "Class imbalance", "Class imbalance",
            f"Class weights: {study.training.class_weight}; calibration in section 3.",
        ),
        fair,
        filled(
            "15", "Output", "What the model gives",
            "A score from 0 to 1 and a yes or no at the frozen threshold (section 2).",
        ),
        partly(
            "16", "Training and evaluation", "How the two differ",
            "Table 1, section 1.4." if known.described else "Numbers of patients, section 1.2.",
        ),
        for_authors("17", "Ethics", "Ethical approval"),
    ]  # fmt: skip


def _closing(known: Facts) -> list[Item]:
    flow = filled if known.described else partly
    who = (
        filled("20b", "Results", "Characteristics", "Table 1, section 1.4.")
        if known.described
        else for_authors("20b", "Results", "Characteristics")
    )
    beside = (
        partly("20c", "Results", "Development beside evaluation data", "Table 1, section 1.4.")
        if known.described
        else for_authors("20c", "Results", "Development beside evaluation data")
    )
    groups = " and in subgroups (4.3)" if known.subgroups else ""
    updated = (
        filled("24", "Results", "Updated model", "Section 3.3.")
        if known.recalibrated
        else filled("24", "Results", "Updated model", "The model was not updated.")
    )
    return [
        for_authors("18a", "Open science", "Funding"),
        for_authors("18b", "Open science", "Conflicts of interest"),
        filled(
            "18c", "Open science", "Protocol",
            f"release/study.json, fingerprint {known.study.fingerprint[:12]}.",
        ),
        for_authors("18d", "Open science", "Registration"),
        for_authors("18e", "Open science", "Sharing of data"),
        partly("18f", "Open science", "Sharing of code", "Made with MyoFed; versions in 5.5."),
        for_authors("19", "Patients and public", "Involvement"),
        flow("20a", "Results", "Flow of participants", known.flow),
        who,
        beside,
        filled("21", "Results", "Numbers in each analysis", f"{known.patients}: {known.events}."),
        filled("22", "Results", "The whole model", "The release holds all weights and heads."),
        partly("23a", "Results", "Performance with intervals", f"Section 2{groups}."),
        partly("23b", "Results", "Differences between clusters", "By site, sections 2 and 4."),
        updated,
        for_authors("25", "Discussion", "Interpretation, fairness"),
        for_authors("26", "Discussion", "Limitations"),
        partly(
            "27a", "Usability", "Poor or absent input",
            "A case that cannot be measured is refused, never guessed.",
        ),
        for_authors("27b", "Usability", "What users must do and know"),
        for_authors("27c", "Usability", "Next steps"),
    ]  # fmt: skip
