"""A consortium of phantom hospitals, written to disk as a study would find real ones.

Three sites to train on and one external, each with its own scanner, prevalence of scar and mean
age. The hospital that is referred the most scar has the most even images, the one that is referred
the least the most mottled ones, and mottle looks like scar. So in the pooled raw rows the very
features that tell of scar within each hospital seem to say nothing of it, or the opposite
(Simpson's paradox), and a model that is not harmonised does without them.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from client.phantoms.patient import make_patient, seeds
from client.phantoms.scanner import Vendor
from common.errors import WrongUse

POSITIVE, NEGATIVE = "scar", "none"
FEWEST = 8
"""Patients of each class that a site has at least, if it has twice as many patients."""
COLUMNS = (
    "patient_id",
    "image",
    "mask",
    "phase",
    "label",
    "age",
    "sex",
    "vendor",
    "scanner",
    "field_strength",
)


@dataclass(frozen=True)
class PhantomSite:
    """One hospital: its scanner, number of patients, prevalence of scar (0 to 1) and mean age."""

    name: str
    vendor: Vendor
    patients: int
    prevalence: float
    mean_age: float
    role: str = "train"


DEFAULT: tuple[PhantomSite, ...] = (
    PhantomSite(
        "aldgate",
        Vendor(
            "Meridian",
            "Meridian Clarion",
            1.5,
            1.25,
            1.7,
            10.0,
            216,
            0.03,
            0.25,
            1.0,
            620.0,
            mottle=0.1,
        ),
        patients=48,
        prevalence=0.50,
        mean_age=50.0,
    ),
    PhantomSite(
        "bergamo",
        Vendor("Lumen", "Lumen Arc", 3.0, 1.5, 1.9, 9.0, 184, 0.018, 0.2, 1.4, 160.0, mottle=0.25),
        patients=48,
        prevalence=0.27,
        mean_age=55.0,
    ),
    PhantomSite(
        "coimbra",
        Vendor("Meridian", "Meridian Corona", 1.5, 1.4, 1.5, 8.0, 192, 0.05, 0.5, 0.7, 900.0),
        patients=48,
        prevalence=0.73,
        mean_age=47.0,
    ),
    PhantomSite(
        "dorpat",
        Vendor(
            "Halden", "Halden Mira", 3.0, 1.2, 1.7, 10.0, 224, 0.03, 0.15, 1.0, 1400.0, mottle=0.1
        ),
        patients=80,
        prevalence=0.45,
        mean_age=58.0,
        role="external",
    ),
)


def make_consortium(
    out: Path,
    seed: int,
    patients: int | None = None,
    sites: Sequence[PhantomSite] = DEFAULT,
    progress: Callable[[int, int], None] | None = None,
    slices: int = 5,
) -> list[Path]:
    """Write every site's images, masks and `table.csv` under `out/<site>`; return the tables.

    `patients` stands in for each site's own number. The same seed gives the same bytes, whatever
    other sites are made and in which order. `progress(done, total)` is called after each patient.
    """
    _check(sites, seed, patients, slices)
    counts = [site.patients if patients is None else patients for site in sites]
    total, done = sum(counts), 0
    tables = []
    for site, count in zip(sites, counts, strict=True):
        folder = out / site.name
        (folder / "images").mkdir(parents=True, exist_ok=True)
        rows = []
        for index, scar in enumerate(plan_labels(site, seed, count)):
            rows.append(_write_patient(folder, site, seed, index, scar, slices))
            done += 1
            if progress is not None:
                progress(done, total)
        table = folder / "table.csv"
        with table.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        tables.append(table)
    return tables


def plan_labels(site: PhantomSite, seed: int, patients: int) -> list[bool]:
    """Which patients have scar: the site's prevalence, rounded, in an order drawn from the seed."""
    fewest = min(FEWEST, patients // 2)
    positives = min(max(round(site.prevalence * patients), fewest), patients - fewest)
    labels = np.arange(patients) < positives
    # Patients are numbered from 0; the plan of their labels takes the number after the last.
    rng = np.random.default_rng(seeds(seed, site.name, patients))
    return [bool(label) for label in rng.permutation(labels)]


def _write_patient(
    folder: Path, site: PhantomSite, seed: int, index: int, scar: bool, slices: int
) -> dict[str, str]:
    """Make and write one patient; return its row of the table."""
    vendor = site.vendor
    patient = make_patient(seeds(seed, site.name, index), vendor, scar, site.mean_age, slices)
    name = f"{site.name[:3].upper()}{index + 1:03d}"
    paths = {"image": f"images/{name}_image.nii.gz", "mask": f"images/{name}_mask.nii.gz"}
    _write(folder / paths["image"], patient.image, vendor)
    _write(folder / paths["mask"], patient.mask, vendor)
    return {
        "patient_id": name,
        **paths,
        "phase": "ED",
        "label": POSITIVE if scar else NEGATIVE,
        "age": str(patient.age),
        "sex": patient.sex,
        "vendor": vendor.vendor,
        "scanner": vendor.scanner,
        "field_strength": f"{vendor.field_strength:g}",
    }


def _write(path: Path, voxels: NDArray[np.int16] | NDArray[np.uint8], vendor: Vendor) -> None:
    """Write a stack (slices, rows, columns) as compressed NIfTI with the scanner's spacing."""
    image: Any = sitk.GetImageFromArray(voxels)
    image.SetSpacing((vendor.spacing, vendor.spacing, vendor.pitch))
    half = -vendor.spacing * (vendor.matrix - 1) / 2
    image.SetOrigin((half, half, 0.0))
    sitk.WriteImage(image, str(path), useCompression=True)


def _check(sites: Sequence[PhantomSite], seed: int, patients: int | None, slices: int) -> None:
    """Refuse what cannot be made, before anything is written."""
    if seed < 0:
        raise WrongUse(f"The seed of a phantom consortium is {seed}.", "Give 0 or more.")
    if slices < 1:
        raise WrongUse(f"{slices} slices were asked of each phantom.", "Ask for 1 or more.")
    if patients is not None and patients < 2:
        raise WrongUse(f"{patients} patients were asked of each site.", "Ask for 2 or more.")
    names = [site.name for site in sites]
    if len(set(names)) != len(names):
        raise WrongUse("Two phantom sites have the same name.", "Give each site its own name.")
