"""What results.json holds for studies that ask for more, and a leave-one-site-out folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from report_samples import TRAIN

from common.files import write_json
from common.heads import MODELS


def _numeric(mean: float) -> dict[str, Any]:
    return {
        "n": 20,
        "missing": 1,
        "mean": mean,
        "sd": 12.5,
        "median": mean - 1,
        "q1": None,
        "q3": 60.0,
    }


def _levels(first: int, second: int | None) -> dict[str, Any]:
    return {"n": 20, "missing": 0, "counts": {"female": first, "male": second}}


def optional_keys(site: str = "dorpat") -> dict[str, Any]:
    """What studies may ask for besides: one of each, with holes where something was withheld."""
    one = {
        "auc": 0.81,
        "auc_ci": [0.7, 0.9],
        "sensitivity": 0.88,
        "sensitivity_ci": [0.7, 0.95],
        "specificity": 0.5,
        "specificity_ci": [0.3, 0.7],
    }
    age = {
        "positive": _numeric(54.25),
        "negative": _numeric(50.5),
        "test": {"name": "t", "statistic": 2.1, "p": 0.03},
    }
    sex = {"positive": _levels(8, 12), "negative": _levels(11, None), "test": None}
    card = {"balanced_accuracy": 0.91, "ci": [0.85, 0.95]}
    return {
        "described": {
            "flow": {
                "aldgate": {
                    "listed": 50,
                    "excluded": {"no-mask": 5, "too-few-slices": None},
                    "used": 42,
                },
                "bergamo": {"listed": None, "excluded": {}, "used": 42},
                site: {"listed": 60, "excluded": {"no-label": 5}, "used": 55},
            },
            "table1": {
                "groups": ["training", site],
                "variables": [
                    {
                        "name": "age",
                        "kind": "numeric",
                        "levels": [],
                        "groups": {"training": age, site: age},
                    },
                    {
                        "name": "sex",
                        "kind": "categorical",
                        "levels": ["female", "male"],
                        "groups": {"training": sex, site: sex | {"negative": None}},
                    },
                ],
            },
        },
        "harmonization_features": {
            f"wavelet-LL_glcm_Feature{number}": {
                "before": 0.9 / (1 + number % 7),
                "after": 0.02 * (number % 5),
            }
            for number in range(60)
        },
        "site_card": [
            {
                "of": "site",
                "levels": list(TRAIN),
                "chance": 0.5,
                "before": card,
                "after": {"balanced_accuracy": 0.55, "ci": [0.45, 0.65]},
            },
            {
                "of": "field strength",
                "levels": ["1.5 T", "3 T"],
                "chance": 0.5,
                "before": card,
                "after": card,
            },
        ],
        "subgroups": {
            site: [
                {
                    "variable": "sex",
                    "level": "female",
                    "patients": {"positive": 10, "negative": 12},
                    "models": dict.fromkeys(MODELS, one),
                    "warning": None,
                },
                {
                    "variable": "sex",
                    "level": "male",
                    "patients": None,
                    "models": None,
                    "warning": "fewer than 5 patients of a class",
                },
                {
                    "variable": "vendor",
                    "level": "<b>Bold & Co</b>",
                    "patients": {"positive": 14, "negative": 19},
                    "models": dict.fromkeys(MODELS, one),
                    "warning": "wide interval",
                },
            ]
        },
        "attention": {
            site: {
                "segments": [f"basal {number}" for number in range(13)]
                + ["apical septal", "apical inferior", "apical lateral"],
                "positive": {"patients": 24, "mean": [0.3, None, *[0.1] * 14]},
                "negative": None,
            }
        },
        "comparison": {
            "classifiers": [
                {
                    "name": "L1 logistic",
                    "how": "federated Newton",
                    "settings": {"C": 0.3},
                    "validation": {"auc": 0.84, "auc_ci": [0.8, 0.9]},
                    "external": {site: one},
                },
                {
                    "name": "random forest",
                    "how": "vote of local forests",
                    "settings": {},
                    "validation": None,
                    "external": {},
                },
            ]
        },
        "reduction": {
            "method": "intra_class_correlation",
            "kept": 120,
            "left_out": {"low reproducibility": 800, "correlation": 19},
            "icc": {"form": "ICC(2,1)", "median": [0.83, 0.81], "above": [{"0.9": 0.4}]},
        },
        "search": {
            "budget": 60,
            "spent": 54,
            "trials": [
                {
                    "width": 0.375,
                    "learning_rate": 5e-4,
                    "dropout": 0.3,
                    "rounds": 9,
                    "loss": 0.5,
                    "auc": 0.8,
                },
                {
                    "width": 0.5,
                    "learning_rate": 1e-3,
                    "dropout": 0.5,
                    "rounds": 3,
                    "loss": 0.7,
                    "auc": 0.7,
                },
            ],
            "chosen": {"width": 0.375, "learning_rate": 5e-4, "dropout": 0.3},
        },
    }


def left_out(folder: Path, study: str = "made-up") -> Path:
    """The folder of a leave-one-site-out command."""
    folder.mkdir()
    own = {
        "by_site": {
            "aldgate": {
                "auc": 0.8,
                "auc_ci": [0.7, 0.9],
                "patients": {"positive": 20, "negative": 22},
            },
            "bergamo": {
                "auc": 0.9,
                "auc_ci": [0.8, 0.97],
                "patients": {"positive": 20, "negative": 22},
            },
        },
        "mean_auc": 0.85,
        "summary": {
            "auc": 0.86,
            "auc_ci": [0.78, 0.92],
            "prediction_interval": [0.6, 0.97],
            "tau2": 0.11,
            "i2": 0.4,
        },
    }
    none = {
        "by_site": {"aldgate": {"auc": 1.0, "auc_ci": None, "patients": None}},
        "mean_auc": None,
        "summary": None,
    }
    models = {"radiomics": own, "deep": none, "fused": own, "fused (not harmonised)": own}
    content = {"study": study, "sites": list(TRAIN), "models": models}
    write_json(folder / "leave-one-site-out.json", content)
    return folder
