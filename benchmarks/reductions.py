"""What does a reduction do to the AUC? `python benchmarks/reductions.py STUDY RUN SITES OUT`.

A finished run has trained networks, and no reduction changes them. So each reduction is a whole
study in this process, under secure summation where the study has it, with the networks of RUN in
the place of training: heads, thresholds and the look at the external sites are made anew.

STUDY is the study's file, SITES the folder of its site folders; both stay as they are, and what is
measured with second masks is kept below OUT. OUT/results.json has the table.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
import tomllib
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from finished import results_of
from in_process import run_near
from safetensors.numpy import load_file

from client.cohort.rows import load_rows
from client.cohort.site_folder import SiteFolder
from common.files import write_json
from common.heads import MODELS
from common.study import Study
from server.stages import train

ICC = {"second_mask": "dilated", "minimum_icc": 0.75}
REDUCTIONS: dict[str, dict[str, Any]] = {
    "lasso": {},
    "pruning": {"method": "pruning"},
    "pca 0.80": {"method": "pca", "explained_variance": 0.80},
    "pca 0.95": {"method": "pca"},
    "icc(2,1) >= 0.75, dilated; lasso": ICC,
    "icc(3,1) >= 0.75, dilated; lasso": ICC | {"icc": "consistency"},
    "icc(2,1) >= 0.75, eroded; lasso": ICC | {"second_mask": "eroded"},
    "icc(2,1) >= 0.75, dilated; pca 0.95": ICC | {"method": "pca"},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("study", "run", "sites", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--only", default="", help="reductions whose name holds this text")
    given = parser.parse_args()
    content = tomllib.loads(given.study.read_text())
    names = [site["name"] for site in content["sites"]]
    folders = {name: given.out / "sites" / name for name in names}
    for name, folder in folders.items():
        if not folder.exists():
            shutil.copytree(given.sites / name, folder)
    weights = [
        np.asarray(load_file(path)["weights"], np.float32)
        for path in sorted((given.run / "release").glob("fold-*.safetensors"))
    ]
    told = {}
    for name, reduction in REDUCTIONS.items():
        if given.only not in name:
            continue
        study = Study.model_validate(content | {"reduction": reduction})
        for site, folder in folders.items():
            load_rows(SiteFolder.open(folder), study, external=site in study.external_sites)
        out = given.out / name.translate(str.maketrans(" ;,()>=", "_______"))
        while (results := results_of(out, study)) is None:
            started = time.monotonic()
            with mock.patch.object(train, "run", return_value=weights):
                run_near(study, folders, out)
            print(f"{name}: {time.monotonic() - started:.0f} s", flush=True)
        told[name] = summary(results)
        print(json.dumps({name: told[name]}, indent=1), flush=True)
    write_json(given.out / "results.json", told)


def summary(results: dict[str, Any]) -> dict[str, Any]:
    """The figures of one reduction: AUC within validation patients and at each external site."""
    return {
        "validation": {model: round(results["validation"][model]["auc"], 4) for model in MODELS},
        "external": {
            site: {model: round(one["models"][model]["auc"], 4) for model in MODELS}
            for site, one in results["external"].items()
        },
        "reduction": results["reduction"],
        "choice": results["choices"]["radiomics/harmonized"],
        "newton_rounds": results["newton_rounds"],
        "seconds": {stage: results["seconds"][stage] for stage in ("harmonize", "fuse")},
    }


if __name__ == "__main__":
    main()
