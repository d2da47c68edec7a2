"""What a stage at a site works with: the study, its rows, and what it remembers between questions.

What must outlive a message lies on the site's own disk, so that a worker that restarts goes on.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from safetensors.numpy import load_file

from client.cohort.rows import SiteRows, load_rows
from client.cohort.site_folder import SiteFolder
from client.site_keys import SiteKeys, keys_of
from common.errors import RunError
from common.files import write_arrays
from common.messages import Arrays
from common.study import Study


@dataclass(frozen=True)
class RunMemory:
    """Arrays that a site keeps during one run, in its own folder."""

    folder: Path

    def save(self, name: str, arrays: Arrays) -> None:
        """Keep `arrays` under `name`, whole or not at all."""
        write_arrays(self._path(name), arrays)

    def holds(self, name: str) -> bool:
        """Say whether anything is kept under `name`."""
        return self._path(name).exists()

    def load(self, name: str) -> Arrays:
        """Read back what was kept.

        Raises
        ------
        RunError
            There is nothing of that name: the coordinator asked out of turn.
        """
        if not self.holds(name):
            raise RunError(
                f"Nothing is kept under '{name}' in this run.",
                "The coordinator must ask the stages in their order.",
            )
        return dict(load_file(self._path(name)))

    def forget(self) -> None:
        """Remove what was kept, once the run is over."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.safetensors"


@dataclass(frozen=True)
class SiteContext:
    """One site in one run of one study. `cores` is how many it may use to measure images.

    `given_keys` takes the place of the site's own keys, in a simulation. `family` is the
    fingerprint of the approved study that this one belongs to, where that asks for leave one site
    out.
    """

    site: SiteFolder
    study: Study
    run: str
    cores: int = 1
    given_keys: SiteKeys | None = None
    family: str = ""

    @property
    def external(self) -> bool:
        """Whether the study's roster calls this site external."""
        return self.site.name in self.study.external_sites

    @property
    def hides(self) -> bool:
        """Whether the coordinator learns only sums over several sites of what this one says."""
        return self.study.secure_sum.enabled and not self.external

    @cached_property
    def keys(self) -> SiteKeys:
        """The identity keys of the site and of its peers."""
        return self.given_keys or keys_of(self.site.path, self.study)

    @cached_property
    def rows(self) -> SiteRows:
        """The site's slices; read once."""
        return load_rows(self.site, self.study, external=self.external, workers=self.cores)

    @property
    def memory(self) -> RunMemory:
        """What the site keeps of this run."""
        return memory_of(self.site, self.run)


def memory_of(site: SiteFolder, run: str) -> RunMemory:
    """Give what a site keeps of a run."""
    return RunMemory(site.path / "runs" / run)
