"""CLAIM, update of 2024: A. S. Tejani et al., Radiology: Artificial Intelligence 2024;6:e240300."""

from __future__ import annotations

from server.report.checklist import Facts, Item, filled, for_authors, partly
from server.report.words import plural

CITATION = (
    "Tejani AS, Klontzas ME, Gatti AA, et al. Checklist for Artificial Intelligence in Medical "
    "Imaging (CLAIM): 2024 update. Radiol Artif Intell 2024;6(4):e240300."
)


def claim(known: Facts) -> list[Item]:
    """Fill the 44 items of CLAIM."""
    return [*_design(known), *_data(known), *_model(known), *_results(known)]


def _design(known: Facts) -> list[Item]:
    study = known.study
    return [
        for_authors("1", "Title, abstract", "Title names the method and its kind"),
        for_authors("2", "Title, abstract", "Structured abstract"),
        for_authors("3", "Introduction", "Background, intended use, clinical role"),
        for_authors("4", "Introduction", "Aims and hypotheses"),
        for_authors("5", "Study design", "Prospective or retrospective"),
        partly(
            "6",
            "Study design",
            "Goal of the study",
            f"Development of a classifier ({study.outcome.positive} against "
            f"{study.outcome.negative})"
            + (f" and external test at {known.external}." if known.external else "."),
        ),
    ]


def _data(known: Facts) -> list[Item]:
    study = known.study
    return [
        partly("7", "Data", "Where the data come from", f"{known.sites} (section 1.2)."),
        for_authors("8", "Data", "Who was eligible, when and where"),
        filled(
            "9", "Data", "Preprocessing",
            f"{study.preprocessing.spacing_mm:g} mm in plane, {study.preprocessing.intensity} "
            "scaling; the full recipe is in the protocol (section 1.1).",
        ),
        filled(
            "10", "Data", "Which part of the data was used",
            f"Phases {', '.join(study.cohort.phases)}; slices: {study.cohort.slices}.",
        ),
        partly(
            "11", "Data", "De-identification",
            "Images and patient rows stayed at the sites; what left is listed in section 5.",
        ),
        filled("12", "Data", "Missing data", known.missing),
        for_authors("13", "Data", "Image acquisition"),
        for_authors("14", "Reference standard", "How the truth was obtained"),
        for_authors("15", "Reference standard", "Why this reference standard"),
        for_authors("16", "Reference standard", "Who annotated, and their training"),
        for_authors("17", "Reference standard", "How the test set was annotated"),
        for_authors("18", "Reference standard", "Agreement between and within raters"),
        filled("19", "Partitions", "How cases were assigned", known.partition),
        filled("20", "Partitions", "At which level they are disjoint", "Patient, and site."),
        for_authors("21", "Testing data", "Intended sample size"),
    ]  # fmt: skip


def _model(known: Facts) -> list[Item]:
    study, cnn, training = known.study, known.settings.cnn, known.settings.training
    folds = plural(study.folds, "fold")
    epochs = plural(training.local_epochs, "local epoch")
    short = (
        ", in bfloat16 where a site's processor has it" if training.precision == "bfloat16" else ""
    )
    short += ", weights and changes sent in 8 bits" if training.transfer == "int8" else ""
    outside = (
        filled("33", "Evaluation", "External test", f"{known.external}; section 2.")
        if known.external
        else partly("33", "Evaluation", "External test", "The study had no external site.")
    )
    explained = (
        filled("31", "Evaluation", "Explainability", "Attention by segment, section 4.6.")
        if known.attention
        else partly("31", "Evaluation", "Explainability", "Selected features by fold, section 4.4.")
    )
    robust = "Stability over folds (4.4)" + (
        ", sites left out in turn (4.5)" if known.left_out else ""
    )
    return [
        filled(
            "22", "Model", "Model in detail",
            f"Convolutional network of width {cnn.width:g} and L1 logistic heads on "
            "radiomic and deep features (section 1.1); weights in the release.",
        ),
        filled("23", "Model", "Software", "Versions in section 5.5."),
        filled("24", "Model", "Initial parameters", f"Random, from seed {study.seed}."),
        filled(
            "25", "Training", "Training procedure",
            f"{training.strategy}, {training.rounds} rounds, "
            f"{epochs}, Adam at {training.learning_rate:g}, "
            f"augmentation {training.augmentation}{short}.",
        ),
        filled(
            "26", "Training", "Choice of the final model",
            f"Mean of the last {training.averaged_rounds} rounds; size and penalty of the heads by "
            "loss on validation patients.",
        ),
        filled("27", "Training", "Ensembles", f"Mean of {folds}; stacked heads."),
        filled("28", "Evaluation", "Measures of performance", known.performance),
        filled(
            "29", "Evaluation", "Significance and uncertainty",
            "95 % intervals throughout; DeLong's test, p also corrected by Holm.",
        ),
        partly("30", "Evaluation", "Robustness and sensitivity", f"{robust}."),
        explained,
        filled("32", "Evaluation", "Test on internal data", "Validation patients, section 2."),
        outside,
        for_authors("34", "Evaluation", "Registration of the trial"),
    ]  # fmt: skip


def _results(known: Facts) -> list[Item]:
    who = (
        filled("36", "Results", "Characteristics in each partition", "Table 1, section 1.4.")
        if known.described
        else for_authors("36", "Results", "Characteristics in each partition")
    )
    flow = filled if known.described else partly
    return [
        flow("35", "Results", "Patients included and excluded", known.flow),
        who,
        filled("37", "Results", "Performance in all partitions", "Section 2."),
        filled("38", "Results", "Precision of the estimates", "Intervals in section 2."),
        partly(
            "39", "Results", "Failures",
            "Counts of missed and needlessly examined patients, section 2; no case leaves a site.",
        ),
        for_authors("40", "Discussion", "Limitations"),
        for_authors("41", "Discussion", "Implications for practice"),
        filled(
            "42", "Other", "Where the protocol is",
            f"release/study.json, fingerprint {known.study.fingerprint[:12]}.",
        ),
        partly("43", "Other", "Software, model and data to be had", "The release holds the model."),
        for_authors("44", "Other", "Funding"),
    ]  # fmt: skip
