"""What each rule lets out, in plain words: for whoever answers for the patients' data."""

from __future__ import annotations

from typing import Final

from client.egress.report_words import REPORT_WORDS

MASKED: Final = "/masked"
"""The ending of a rule's name where the answer left under masks."""

PRIVATE: Final = "/private"
"""The ending of a rule's name where noise hides each patient."""

REFUSAL: Final = "refusal"

_UNDER_MASKS = (
    "Under masks: it left as numbers that mean nothing alone. Only the sum over all sites of the "
    "question can be read."
)

_WORDS: Final[dict[str, str]] = {
    "enrol": (
        "Who the site is: its name, the study it approved, hashes of its settings and of its "
        "self-test, versions of its software, its processor, cores and memory, how many patients "
        "of each class (never below the study's minimum) and slices it has, and its public key "
        "for the masks."
    ),
    "harmonize/covariates": (
        "Sums and counts of the covariates, such as age, over all training patients of each fold; "
        "no single patient."
    ),
    "harmonize/features": (
        "ComBat sums over all training slices of each fold: sums and products of image features "
        "and covariates, slices of each class, values that were filled; no single patient."
    ),
    "harmonize/reproducibility": (
        "For each image feature, three sums over all training slices of each fold that have two "
        "masks: how slices differ, how the masks differ; and how many slices and patients these "
        "were. No single patient."
    ),
    "search/train": (
        "How the weights of a network that is tried out changed by training on all training slices "
        "of the first fold; how many slices and patients these were. No image, no scores."
    ),
    "search/measure": (
        "How well a network that is tried out does: loss and a histogram of scores over the first "
        "fold's validation patients. No image."
    ),
    "train": (
        "How the network's weights changed by training on all training slices of a fold; how many "
        "slices and patients these were; loss and a histogram of scores over the fold's validation "
        "patients. No image."
    ),
    "fuse/moments": (
        "Sums and products of image features over all training slices of each fold; loss and a "
        "histogram of scores over the validation patients; no single patient."
    ),
    "fuse/heads": (
        "Sums with which the coordinator fits logistic models: loss, gradient and curvature over "
        "all training slices, loss over the validation patients; no single patient."
    ),
    "fuse/stack": (
        "Sums and products of two scores over all validation slices; no single patient."
    ),
    "calibrate": (
        "Histograms of the validation patients' scores by class, in steps of 1/1000, and three "
        "numbers a model on how well the classes are told apart; no names and no order."
    ),
    "compare/fit": (
        "Sums with which the coordinator fits the classifiers that the study compares: loss, "
        "gradient and curvature over all training slices of a fold; for trees, sums over the "
        "slices in each node of a tree, by steps of each selected feature. No single patient."
    ),
    "compare/scores": (
        "Histograms of the validation patients' scores by class and classifier, in steps of "
        "1/1000, and three numbers a classifier on how well the classes are told apart; no names "
        "and no order."
    ),
    "validate/scores": (
        "How well the finished model did on this site's patients: histograms of scores by class, "
        "AUC and its variance, counts of right and wrong at the frozen threshold."
    ),
    "validate/placements": (
        "Sums over all patients of a class of how each ranks among the patients of all sites, to "
        "compare models; no single patient."
    ),
    "validate/attention": (
        "Where in the myocardium the finished network looks: for each of sixteen segments a sum "
        "over all patients of a class, each of whom adds 0 to 1; no picture, no single patient."
    ),
    "validate/classifiers": (
        "How well the classifiers that the study compares did on this site's patients: histograms "
        "of scores by class, AUC and its variance, counts of right and wrong at the frozen "
        "thresholds."
    ),
    "train/private": (
        "How the network's weights changed by training, with noise that hides each patient; how "
        "many patients the site enrolled. No loss and no scores."
    ),
    "harmonize/private": (
        "ComBat sums over the training patients of each fold, with noise that hides each patient."
    ),
    "fuse/moments/private": (
        "Sums and products of image features over the training patients of each fold, with noise "
        "that hides each patient."
    ),
    "calibrate/private": (
        "Histograms of the validation patients' scores by class in 20 steps, with noise that hides "
        "each patient."
    ),
    REFUSAL: "No answer: a code and a fixed sentence, which say nothing of patients.",
}

_ALL: Final = _WORDS | REPORT_WORDS

RULES: Final = tuple(_ALL)
"""Every rule by which anything leaves; the answers of some may leave under masks."""


def words_of(rule: str) -> str:
    """Say what a rule lets out; an unknown rule is said to be unknown."""
    base = rule.removesuffix(MASKED)
    if base not in _ALL:
        return "A rule that this release of MyoFed does not know."
    return f"{_ALL[base]} {_UNDER_MASKS}" if base != rule else _ALL[base]
