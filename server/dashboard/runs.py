"""The runs that a dashboard shows: those of a coordinator, or a single folder."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from common.errors import WrongUse
from server.dashboard.live import Live, Presence
from server.dashboard.presence import Nobody, SuperLinkPresence
from server.dashboard.reading import RunReader
from server.network.folder import CoordinatorFolder


@dataclass
class Runs:
    """Finds runs and keeps what was read of them.

    `folder` is the coordinator's, if there is one; `single` one run's, if only that is shown.
    """

    folder: CoordinatorFolder | None
    single: Path | None
    _live: dict[str, Live] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def __post_init__(self) -> None:
        self._presence: Presence = (
            Nobody() if self.folder is None else SuperLinkPresence(self.folder)
        )

    @classmethod
    def of(cls, folder: Path | None, run: Path | None) -> Runs:
        """Open a coordinator's folder, or a run's; a run's own coordinator is found beside it.

        Raises
        ------
        WrongUse
            Neither was given, or what was given is none.
        """
        if folder is not None and (folder / "run.json").is_file():
            folder, run = None, folder
        if folder is None and run is None:
            raise WrongUse(
                "No folder was given.", "Give that of a coordinator, or a run's with --run."
            )
        if run is None:
            return cls(CoordinatorFolder.open(folder or Path()), None)
        path = run.resolve()
        RunReader(path)
        above = path.parent.parent
        if folder is None and (above / "settings.toml").is_file() and path.parent.name == "runs":
            folder = above
        return cls(None if folder is None else CoordinatorFolder.open(folder), path)

    def identities(self) -> list[str]:
        """List the runs, the latest first."""
        if self.single is not None:
            return [str(RunReader(self.single).marker["identity"])]
        assert self.folder is not None
        found = [path for path in self.folder.runs.glob("*/run.json")
                 if not path.parent.name.startswith(".")]  # fmt: skip
        newest = sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)
        return [path.parent.name for path in newest]

    def find(self, identity: str) -> Live | None:
        """Give a run by its identity; None if there is none of that name."""
        with self._lock:
            if identity not in self._live:
                if identity not in self.identities():
                    return None
                path = self.single
                if path is None:
                    assert self.folder is not None
                    path = self.folder.runs / identity
                try:
                    self._live[identity] = Live(RunReader(path), self._presence)
                except WrongUse:
                    # A folder that cannot be read must not hide the others.
                    return None
            return self._live[identity]

    @property
    def place(self) -> str:
        """Say what is looked at."""
        if self.folder is not None:
            return f"coordinator {self.folder.address}"
        return "" if self.single is None else str(self.single.name)
