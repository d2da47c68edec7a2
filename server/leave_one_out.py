"""The table of leave one site out: each model at each site that never saw it, and a summary.

One folder holds a run folder for each site that was left out, `without-NAME`, and when all of them
are finished `leave-one-site-out.json`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from common.errors import RunError
from common.files import write_json
from common.heads import MODELS, UNHARMONIZED
from common.statistics.meta_analysis import SiteAuc, newcombe_interval, summarise_aucs
from common.study import Study

TABLE = "leave-one-site-out.json"
PARENT = "study.json"
HOW = (
    "Each AUC is within the site that was left out; its interval is DeLong's, or Newcombe's where "
    "DeLong's has no width. The summary is a random-effects meta-analysis of the logit AUC: "
    "Paule-Mandel, with the t interval of Hartung and Knapp, its factor not below 1."
)
Result = dict[str, Any]


def begin_table(folder: Path, study: Study) -> None:
    """Make the folder of a study's runs, or open that of the same study.

    Raises
    ------
    RunError
        The folder holds another study's runs, or something else.
    """
    kept = folder / PARENT
    if kept.exists():
        if json.loads(kept.read_text(encoding="utf-8")) != study.model_dump(mode="json"):
            raise RunError(
                f"{folder} leaves the sites of another study out.", "Give another folder."
            )
        return
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RunError(f"{folder} exists and does not leave one site out.", "Give another folder.")
    folder.mkdir(parents=True, exist_ok=True)
    write_json(kept, study.model_dump(mode="json"))


def place_of(folder: Path, site: str) -> Path:
    """Say where the run without a site lies, or will lie."""
    return folder / f"without-{site}"


def finished(folder: Path, site: str, derived: Study) -> bool:
    """Say whether the run without a site is finished.

    Raises
    ------
    RunError
        The run that lies there is one of another study.
    """
    path = place_of(folder, site) / "results.json"
    if not path.exists():
        return False
    held = json.loads(path.read_text(encoding="utf-8"))["fingerprint"]
    if held != derived.fingerprint:
        raise RunError(
            f"{path} is of the study {held[:12]}; without {site} it is {derived.fingerprint[:12]}.",
            "Give another folder.",
        )
    return True


def write_table(folder: Path, study: Study, derived: Mapping[str, Study]) -> Result:
    """Gather the table from the finished runs of a folder, write it, and give it."""
    runs = {
        site: json.loads((place_of(folder, site) / "results.json").read_text(encoding="utf-8"))
        for site in derived
    }
    found = table(study, derived, runs)
    write_json(folder / TABLE, found)
    return found


def table(study: Study, derived: Mapping[str, Study], runs: Mapping[str, Result]) -> Result:
    """Make the table from the results of each run, by the site that was left out of it.

    Raises
    ------
    RunError
        A run has no result of the site that it leaves out.
    """
    silent = [site for site in derived if site not in runs[site]["external"]]
    if silent:
        raise RunError(
            f"The run without {silent[0]} has no result of {silent[0]}.",
            "It is not a run of this study.",
        )
    names = [(model, "models", model) for model in MODELS]
    names += [(f"{one} (not harmonised)", "unharmonized", one) for one in MODELS
              if one in UNHARMONIZED]  # fmt: skip
    return {
        "study": study.name,
        "fingerprint": study.fingerprint,
        "sites": list(derived),
        "runs": {
            site: {"run": runs[site]["run"], "fingerprint": one.fingerprint}
            for site, one in derived.items()
        },
        "models": {
            shown: _model({site: runs[site]["external"][site] for site in derived}, part, model)
            for shown, part, model in names
        },
        "how": HOW,
    }


def _model(external: Mapping[str, Result], part: str, model: str) -> Result:
    sites, by_site = [], {}
    for site, one in external.items():
        own, patients = one[part][model], one["patients"]
        numbers = (int(patients["positive"]), int(patients["negative"]))
        sites.append(SiteAuc(own["auc"], own["auc_se"] ** 2, *numbers))
        without_width = own["auc_se"] == 0.0
        interval = newcombe_interval(own["auc"], *numbers) if without_width else own["auc_ci"]
        shares = {
            name: own[name]
            for share in ("sensitivity", "specificity")
            for name in (share, f"{share}_ci")
        }
        by_site[site] = {
            "auc": own["auc"],
            "auc_ci": list(interval),
            "patients": patients,
            **shares,
        }
    summary = summarise_aucs(sites)
    return {
        "by_site": by_site,
        "mean_auc": sum(site.auc for site in sites) / len(sites),
        "summary": {
            "auc": summary.auc,
            "auc_ci": list(summary.interval),
            "prediction_interval": None if summary.prediction is None else list(summary.prediction),
            "tau2": summary.tau2,
            "i2": summary.i2,
        },
    }
