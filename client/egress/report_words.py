"""What the rules for the report let out, in plain words."""

from __future__ import annotations

from typing import Final

REPORT_WORDS: Final[dict[str, str]] = {
    "describe/flow": (
        "How many patients the site listed, left out for which of a few fixed reasons, and used; "
        "no number below the study's minimum, and none from which one would follow."
    ),
    "describe/table": (
        "Table 1 of this site: for each class how many patients the study's variables are known "
        "of, means, spreads and quartiles, rounded, or counts; no cell below the study's minimum."
    ),
    "describe/sums": (
        "Table 1 as sums: for each class counts, sums, sums of squares and histograms of the "
        "study's variables, such as age; no single patient."
    ),
    "card/sums": (
        "How image features differ between sites, before and after harmonisation: sums over the "
        "training slices of each fold, and sums of a few components over the training patients of "
        "this site, by site, vendor or what else the study names. From these follows in which "
        "direction this site's images differ; no single patient."
    ),
    "card/held-out": (
        "How many of the validation patients' sites, or vendors, are told right from their image "
        "features: one number each, over all folds."
    ),
    "validate/subgroups": (
        "How well the finished model did in subgroups of this site's patients, as in women and "
        "men: counts by class, AUC and its variance, right and wrong at the frozen threshold; "
        "nothing of a variable where a subgroup is below the study's minimum."
    ),
}
"""By rule; only of studies that ask for it."""
