"""A tiny clean cohort to spoil: six patients, 3 slices of 48 x 48, written as files."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from client.cohort.check import check_site
from client.cohort.rules import CohortRules
from client.cohort.site_folder import SiteFolder
from client.cohort.table import read_table

RULES = CohortRules(
    minimum_patients_per_class=3,
    levels={"sex": ("F", "M"), "vendor": ("Siemens", "Philips")},
    required=("sex",),
    numeric=("age",),
)
REPO = Path(__file__).resolve().parents[2]
DATA = REPO.parent / "shared" / "data"


def heart(seed, centre=(24, 24), shape=(3, 48, 48)):
    """Give image and mask: a bright cavity (1) in a dark ring (2)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[1], : shape[2]]
    away = np.hypot(y - centre[0], x - centre[1])
    mask = np.zeros(shape, np.uint8)
    mask[:, away < 12] = 2
    mask[:, away < 7] = 1
    image = np.choose(mask, [60, 200, 90]) + rng.normal(0, 5, shape)
    return image.astype(np.float32), mask


def write(path, array, spacing=(1.4, 1.4, 8.0), origin=(0, 0, 0), direction=None):
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing)
    image.SetOrigin(origin)
    if direction is not None:
        image.SetDirection(direction)
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(path))


class Cohort:
    """The clean cohort in a folder; `rows` are the CSV's cells, to be changed before `site`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rows = []
        for number in range(6):
            patient = f"p{number}"
            image, mask = heart(number)
            write(folder / f"{patient}.nii.gz", image)
            write(folder / f"{patient}_gt.nii.gz", mask)
            self.rows.append(
                {
                    "patient_id": patient,
                    "image": f"{patient}.nii.gz",
                    "mask": f"{patient}_gt.nii.gz",
                    "phase": "ED",
                    "label": "scar" if number % 2 else "none",
                    "slice": "",
                    "age": str(50 + number),
                    "sex": "FM"[number % 2],
                    "vendor": "Siemens",
                }
            )

    def image(self, patient, array, **geometry):
        write(self.folder / f"{patient}.nii.gz", array, **geometry)

    def mask(self, patient, array, **geometry):
        write(self.folder / f"{patient}_gt.nii.gz", array, **geometry)

    def write_csv(self):
        path = self.folder / "cohort.csv"
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(self.rows[0]))
            writer.writeheader()
            writer.writerows(self.rows)
        return path

    def site(self):
        table = read_table(self.write_csv())
        return SiteFolder.create(
            self.folder / "site",
            table.rows,
            name="tufts",
            source="table",
            myocardium=2,
            positive="scar",
            negative="none",
        )

    def check(self, rules=RULES):
        return check_site(self.site(), rules)


def codes(findings):
    return sorted(finding.code for finding in findings)
