"""On real hearts: the distributed result is neuroCombat's, on radiomics as the study uses them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from combat_problems import FLAGS, Problem, distributed, neuro, worst

HEARTS = Path(__file__).resolve().parents[3] / "shared" / "data" / "mnms-hcm"
pytestmark = [
    pytest.mark.realdata,
    pytest.mark.slow,
    pytest.mark.skipif(not HEARTS.is_dir(), reason="the developers' data folder is not here"),
]


@pytest.fixture(scope="module")
def hearts(tmp_path_factory):
    """Radiomics of a few patients of both centres; one centre in two sites, so three batches."""
    from client.cohort.importers import import_mnms
    from client.cohort.rows import load_rows
    from common.study import Study

    folder = tmp_path_factory.mktemp("hearts")
    parts = {"a": (2, (1, 10)), "b": (2, (2, 10)), "c": (1, (1, 8))}
    sites = [{"name": name, "role": "train"} for name in parts]
    study = Study.model_validate({"name": "hearts", "sites": sites})
    x, batch, table = [], [], []
    for name, (centre, part) in parts.items():
        site = import_mnms(HEARTS, folder / name, name=name, centre=centre, part=part).site
        rows = load_rows(site, study, external=True)
        x.append(rows.features)
        batch += list(rows.batch)
        people = sorted(site.patients(), key=lambda patient: patient.patient_id)
        table += [people[i].covariates for i in rows.patient]
    x = np.concatenate(x)
    frame = pd.DataFrame(
        {
            "batch": batch,
            "age": np.array([row["age"] for row in table], dtype=np.float32).astype(float),
            "sex": [row["sex"] for row in table],
        }
    )
    varying = np.ptp(x, axis=0) > 1e-9 * np.abs(x).max(axis=0)
    for name in parts:
        own = x[frame["batch"] == name]
        varying &= np.ptp(own, axis=0) > 1e-9 * np.abs(own).max(axis=0)
    z = np.stack([frame["age"], frame["sex"] == "M"], axis=1).astype(float)
    names = frame["batch"].to_numpy()
    return Problem(x[:, varying], z, names, frame, names)


@pytest.mark.parametrize("mode", FLAGS)
def test_agrees_with_neurocombat_on_real_radiomics(hearts, mode, monkeypatch):
    monkeypatch.setattr("combat_problems.CATEGORICAL", ["sex"])
    monkeypatch.setattr("combat_problems.CONTINUOUS", ["age"])
    assert hearts.x.shape[1] > 850
    found, reference = distributed(hearts, mode)
    assert reference.keep.all()
    gap = worst(found, neuro(hearts, mode, monkeypatch), hearts.x)
    print(f"{mode}: {hearts.x.shape[0]} slices, {hearts.x.shape[1]} features, {gap:.1e} sd")
    assert gap <= 1e-9
