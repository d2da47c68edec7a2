"""The demo's consortium: phantom hospitals, imported as any hospital would be, and a study."""

from __future__ import annotations

from pathlib import Path

from client.cohort.importers import import_table
from client.phantoms.consortium import DEFAULT, make_consortium
from common.console import progress_bar
from common.errors import WrongUse

STUDY = """# The demo's study: three phantom hospitals train, a fourth is external.
name = "phantom-demo"
seed = {seed}
folds = {folds}

{roster}
[training]
rounds = {rounds}

[fusion]
patient_score = "mean"
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
        folders = make_consortium(out / "phantoms", seed, progress=progress)
    for folder in folders:
        import_table(
            folder / "table.csv",
            out / "sites" / folder.name,
            name=folder.name,
            positive="scar",
            negative="none",
            myocardium=2,
        )
    roster = "".join(
        f'[[sites]]\nname = "{site.name}"\nrole = "{site.role}"\n\n' for site in DEFAULT
    )
    study = out / "study.toml"
    text = STUDY.format(seed=seed, folds=folds, rounds=rounds, roster=roster)
    study.write_text(text, encoding="utf-8")
    return study, out / "sites"
