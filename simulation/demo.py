"""The demo's consortium: phantom hospitals, imported as any hospital would be, and a study."""

from __future__ import annotations

from pathlib import Path

from client.cohort.importers import import_table
from client.phantoms.consortium import DEFAULT, make_consortium
from common.console import progress_bar
from common.errors import WrongUse

SLICES = 2
"""Slices of each phantom."""

STUDY = """# The demo's study: three phantom hospitals train, a fourth is external.
name = "phantom-demo"
seed = {seed}
folds = {folds}

{roster}
# Three epochs at a site between two exchanges: the demo takes minutes.
[cnn]
dropout = 0.3

[training]
rounds = {rounds}
averaged_rounds = {averaged}
local_epochs = 3
augmentation = "geometry"

[fusion]
patient_score = "mean"

# What the report tells beside: who the patients were, how well ComBat did, and subgroups.
[report]
patients = true
features = true
site_card = ["site", "vendor", "field_strength"]

[[report.variables]]
name = "age"
kind = "numeric"
lower = 15.0
upper = 90.0
width = 5.0
bands = [50.0, 65.0]
subgroups = true

[[report.variables]]
name = "sex"
kind = "categorical"
levels = ["F", "M"]
subgroups = true

[[report.variables]]
name = "vendor"
kind = "categorical"
levels = ["Meridian", "Lumen", "Halden"]
subgroups = true

[[report.variables]]
name = "field_strength"
kind = "categorical"
levels = ["1.5", "3"]
subgroups = true
"""


def make_demo(out: Path, seed: int, folds: int = 3, rounds: int = 12) -> tuple[Path, Path]:
    """Make phantoms, site folders and a protocol file below `out`; give study and sites.

    Raises
    ------
    WrongUse
        The folder holds something already.
    """
    if out.exists() and any(out.iterdir()):
        raise WrongUse(f"{out} holds something already.", "Give another --out, or remove it.")
    with progress_bar("phantoms") as progress:
        tables = make_consortium(out / "phantoms", seed, progress=progress, slices=SLICES)
    for table in tables:
        import_table(
            table,
            out / "sites" / table.parent.name,
            name=table.parent.name,
            positive="scar",
            negative="none",
            myocardium=2,
        )
    roster = "".join(
        f'[[sites]]\nname = "{site.name}"\nrole = "{site.role}"\n\n' for site in DEFAULT
    )
    study = out / "study.toml"
    averaged = max(1, rounds // 2)
    text = STUDY.format(seed=seed, folds=folds, rounds=rounds, averaged=averaged, roster=roster)
    study.write_text(text, encoding="utf-8")
    return study, out / "sites"
