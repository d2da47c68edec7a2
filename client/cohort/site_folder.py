"""A site folder: what one hospital keeps of its cohort, in one place."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from client.cohort.patients import Patient, patients
from client.cohort.table import CohortRow, CohortTable, read_table, write_table
from common.errors import CohortError
from common.site_name import SITE_NAME
from common.versions import package_versions

SITE_FILE = "site.json"
TABLE_FILE = "cohort.csv"
_PARTIAL = ".partial-"
_ROOMS = {"node", "link", "studies", "ledger"}
_KEYS = {"identity.key", "identity.pub", "privacy.key"}
_ACCOUNTS = {"privacy-budget.json", "sum-sets.json"}
_PACKAGES = ("myofed", "numpy", "SimpleITK", "nibabel", "pydicom")


@dataclass(frozen=True)
class SiteInfo:
    """What site.json holds.

    `left_out` counts the patients that the import left out, by the reasons of
    `common.patient_flow`; None where that is not known of this site's own patients.
    """

    name: str
    source: str
    myocardium: int
    positive: str
    negative: str
    created: str
    versions: dict[str, str]
    left_out: dict[str, int] | None = None


class SiteFolder:
    """An existing site folder; make one with `create`, look into one with `open`.

    Attributes:
        path: the folder, absolute.
        info: what its site.json holds.
    """

    def __init__(self, path: Path, info: SiteInfo) -> None:
        self.path = path
        self.info = info

    @classmethod
    def create(
        cls,
        path: Path | str,
        rows: Iterable[CohortRow],
        *,
        name: str,
        source: str,
        myocardium: int,
        positive: str,
        negative: str,
    ) -> SiteFolder:
        """Make a site folder with its table; nothing is left behind if it fails.

        Raises:
            CohortError: the folder holds something already, the name cannot be used, or the
                classes or the label value make no sense.
        """
        with new_site_folder(path) as work:
            cls.write(
                work,
                rows,
                name=name,
                source=source,
                myocardium=myocardium,
                positive=positive,
                negative=negative,
            )
        return cls.open(path)

    @staticmethod
    def write(
        folder: Path,
        rows: Iterable[CohortRow],
        *,
        name: str,
        source: str,
        myocardium: int,
        positive: str,
        negative: str,
        left_out: dict[str, int] | None = None,
    ) -> None:
        """Write site.json and cohort.csv into a folder that `new_site_folder` lent.

        Raises:
            CohortError: as `create`.
        """
        check_names(name, positive, negative, myocardium)
        info = SiteInfo(
            name=name,
            source=source,
            myocardium=myocardium,
            positive=positive,
            negative=negative,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            versions=package_versions(_PACKAGES),
            left_out=left_out,
        )
        write_table(folder / TABLE_FILE, rows)
        text = json.dumps(asdict(info), indent=2, ensure_ascii=False)
        (folder / SITE_FILE).write_text(text + "\n", encoding="utf-8")

    @classmethod
    def open(cls, path: Path | str) -> SiteFolder:
        """Open a site folder.

        Raises:
            CohortError: there is no site folder, or its site.json is damaged.
        """
        path = Path(os.path.abspath(path))
        file = path / SITE_FILE
        if not file.is_file():
            found = "has no site.json" if path.is_dir() else "does not exist"
            raise CohortError(
                f"{path} is not a site folder: it {found}.",
                f"Make one with: myofed site import ... --out {path}",
            )
        try:
            held: Any = json.loads(file.read_text(encoding="utf-8"))
            info = SiteInfo(**held)
            check_names(info.name, info.positive, info.negative, info.myocardium)
        except (ValueError, TypeError) as error:
            raise CohortError(
                f"{file} is damaged: {error}.", "Import the site anew into another folder."
            ) from None
        return cls(path, info)

    @property
    def name(self) -> str:
        """The site's name, as the study's roster calls it."""
        return self.info.name

    @property
    def myocardium(self) -> int:
        """The label value of the myocardium in the site's masks."""
        return self.info.myocardium

    @property
    def positive(self) -> str:
        """The text of the positive label."""
        return self.info.positive

    @property
    def negative(self) -> str:
        """The text of the negative label."""
        return self.info.negative

    @property
    def table_path(self) -> Path:
        """The site's cohort.csv."""
        return self.path / TABLE_FILE

    @property
    def images(self) -> Path:
        """Where an importer that converts puts its images; may be absent."""
        return self.path / "images"

    @property
    def cache(self) -> Path:
        """Where extraction keeps its results; may be absent."""
        return self.path / "cache"

    @cached_property
    def table(self) -> CohortTable:
        """The site's cohort, read once.

        Raises:
            TableFaults: cohort.csv cannot be read; every fault is listed.
        """
        return read_table(self.table_path)

    def patients(self) -> list[Patient]:
        """Give the site's patients.

        Raises:
            TableFaults: cohort.csv cannot be read, or has a label outside the two classes.
        """
        return patients(self.table, self.positive, self.negative)


@contextmanager
def new_site_folder(path: Path | str) -> Iterator[Path]:
    """Lend a folder to fill; it becomes `path` when all went well, and vanishes otherwise.

    What `myofed site init` makes may be there before: a volume of a container is, always.

    Raises:
        CohortError: `path` holds something else already.
    """
    path = Path(os.path.abspath(path))
    is_there = path.is_dir()
    if path.exists() and (not is_there or any(not _is_room(held) for held in path.iterdir())):
        kind = "a site folder" if (path / SITE_FILE).exists() else "something else"
        raise CohortError(
            f"{path} is there already and holds {kind}; it is not overwritten.",
            "Give another --out, or move the folder away first.",
        )
    name = f"{_PARTIAL}{os.getpid()}"
    work = path / name if is_there else path.with_name(f".{path.name}{name}")
    try:
        work.mkdir(mode=0o700, parents=True)
        yield work
        if is_there:
            # site.json makes it a site folder, so it comes when everything else is there.
            for held in sorted(work.iterdir(), key=lambda held: held.name == SITE_FILE):
                held.rename(path / held.name)
        else:
            work.rename(path)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _is_room(path: Path) -> bool:
    """Say whether it is made by `myofed site init` and `join`, or left by an import that died."""
    if path.name in _ROOMS or path.name.startswith(_PARTIAL):
        return path.is_dir()
    if path.name in _KEYS | _ACCOUNTS:
        return path.is_file()
    return path.name.endswith(".join.json")


def check_names(name: str, positive: str, negative: str, myocardium: int) -> None:
    """Check what a person says about a site.

    Raises:
        CohortError: the name cannot be used, the two classes are not two, or the label value is
            not a positive whole number.
    """
    if not SITE_NAME.fullmatch(name):
        raise CohortError(
            f"{name!r} cannot be a site's name.",
            "Use small letters, digits, '-' and '_', beginning with a letter (at most 40), as "
            "in the study's roster; give another with --name.",
        )
    if not positive.strip() or not negative.strip() or positive == negative:
        raise CohortError(
            f"The classes {positive!r} (positive) and {negative!r} (negative) are not two classes.",
            "Give two different names with --positive and --negative.",
        )
    if isinstance(myocardium, bool) or not isinstance(myocardium, int) or myocardium < 1:
        raise CohortError(
            f"{myocardium!r} cannot be the label value of the myocardium.",
            "Give a whole number from 1 with --myocardium.",
        )
