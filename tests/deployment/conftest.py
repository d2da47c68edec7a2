"""Tiny phantom sites whose radiomics are measured already, and consortia of them on loopback."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from consortium import Consortium
from filelock import FileLock

from client.cohort.importers import import_table
from client.cohort.rows import load_rows
from client.cohort.site_folder import SiteFolder
from client.identity_key import make_identity, public_identity
from client.phantoms.consortium import DEFAULT, make_consortium
from common.feature_names import all_names
from common.study_file import parse_study
from server.run import RunFolder
from simulation.engine import federate

STUDY = """
name = "tiny"
seed = 5
{extra}
[cohort]
minimum_patients_per_class = 2
[cnn]
width = 0.05
[training]
strategy = "fedavgm"
rounds = {rounds}
averaged_rounds = 2
{training}
[fusion]
sizes = [2, 4]
inverse_penalties = [0.3, 1.0]
patient_score = "mean"
{tables}
"""

NAMES = tuple(site.name for site in DEFAULT)
EXTERNAL = "dorpat"
Build = Callable[..., Consortium]


def study_text(extra: str = "", tables: str = "", rounds: int = 3, training: str = "") -> str:
    """The protocol without its roster, which the coordinator knows once the sites are admitted."""
    return STUDY.format(extra=extra, tables=tables, rounds=rounds, training=training)


def roster_text(sites: Path) -> str:
    """The roster as `myofed coordinator roster` prints it: dorpat is external."""
    role = {name: "external" if name == EXTERNAL else "train" for name in NAMES}
    return "\n".join(
        f'[[sites]]\nname = "{name}"\nrole = "{role[name]}"\n'
        f'key = "{public_identity(sites / name)}"\n'
        for name in NAMES
    )


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the test processes of one session share."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


def made_once(place: Path, make: Callable[[Path], None]) -> Path:
    """Give a folder that the first test process to come here makes, and the others wait for."""
    with FileLock(f"{place}.lock"):
        if not place.exists():
            begun = place.with_name(f"{place.name}.begun")
            shutil.rmtree(begun, ignore_errors=True)
            make(begun)
            begun.rename(place)
    return place


@pytest.fixture(scope="session")
def measured_sites(shared: Path) -> Path:
    """Site folders of four phantom hospitals, eight patients of two slices each.

    Their identity keys are made here, so that all consortia and the simulation have one roster.
    """
    # The folders name their images by paths, so these must be where they will stay.
    phantoms = shared / "phantoms"

    def make(sites: Path) -> None:
        for name in NAMES:
            make_identity(sites / name)
        study = parse_study(study_text() + roster_text(sites))
        for table in make_consortium(phantoms, 3, 8, DEFAULT, slices=2):
            name = table.parent.name
            out = sites / name
            import_table(table, out, name=name, positive="scar", negative="none", myocardium=2)
            load_rows(SiteFolder.open(out), study, external=name == EXTERNAL, workers=2)

    return made_once(shared / "sites", make)


@pytest.fixture(scope="session")
def simulated(measured_sites: Path, shared: Path) -> dict[str, bytes]:
    """The release of the same study by Flower's simulation engine."""

    def make(out: Path) -> None:
        run = RunFolder.begin(out, parse_study(study_text() + roster_text(measured_sites)))
        sites = {name: measured_sites / name for name in NAMES}
        federate(run, sites, list(all_names()), lambda stage, detail: None)

    return release_bytes(made_once(shared / "simulated", make))


def release_bytes(run: Path) -> dict[str, bytes]:
    """Every file of a release but the card, which names the run."""
    folder = run / "release"
    return {
        path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.suffix != ".md"
    }


@pytest.fixture(scope="module")
def build(measured_sites: Path) -> Iterator[Build]:
    """Make a consortium with its own copy of the sites; it is ended with the module."""
    with tempfile.TemporaryDirectory(prefix="mf-") as folder:
        made: list[Consortium] = []

        def one(
            extra: str = "",
            tables: str = "",
            rounds: int = 3,
            training: str = "",
            host: str = "localhost",
            prepare: Callable[[Path], None] = lambda root: None,
        ) -> Consortium:
            root = Path(folder) / str(len(made))
            root.mkdir()
            protocol = study_text(extra, tables, rounds, training)
            sites = copied(measured_sites, root)
            consortium = Consortium(root, protocol, sites, EXTERNAL, host=host)
            prepare(root)
            made.append(consortium)
            consortium.found()
            return consortium

        yield one
        for consortium in made:
            consortium.stop_all()


def copied(sites: Path, root: Path) -> Mapping[str, Path]:
    """Copy the sites' folders; the images stay where they are.

    Without what simulations over the same folders have left there: runs, and the account of sums.
    """
    left = shutil.ignore_patterns("runs", "sum-sets.json", "privacy-budget.json")
    shutil.copytree(sites, root / "sites", ignore=left)
    return {name: root / "sites" / name for name in NAMES}
