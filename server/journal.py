"""The answers of a run on disk: one folder a question, one file a site.

What a site answered is written down as it arrives and read when it is needed, one site at a time.
So the coordinator's memory does not grow with the number of sites, sums are always taken in the
order of the roster, and a run that was killed goes on without asking again what was answered.
Answers are removed when they are no longer needed, and all of them when the run is finished.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from flwr.app import RecordDict

from common.errors import RunError
from common.files import replacing, write_json
from common.records import digest_of, from_record, packed_arrays, packed_record, to_record
from common.secure_sum.session import Announcement

Answer = TypeVar("Answer")

OUTCOME = "outcome.json"
AGAIN = "-again-"
"""Between a question's place and the number of the set of sites that it was put to."""


class Answers(Mapping[str, Answer], Generic[Answer]):
    """The answers to one question by site, in the order asked; read from disk at each use.

    Attributes
    ----------
    missing : why each site that was asked is not among them, by site
    """

    def __init__(
        self, folder: Path, kind: type[Answer], sites: Sequence[str], missing: Mapping[str, str]
    ) -> None:
        self._folder = folder
        self._kind = kind
        self._sites = tuple(sites)
        self.missing = dict(missing)

    def __getitem__(self, site: str) -> Answer:
        if site not in self._sites:
            raise KeyError(site)
        return read_answer(self._folder / f"{site}.answer", self._kind)

    def __iter__(self) -> Iterator[str]:
        return iter(self._sites)

    def __len__(self) -> int:
        return len(self._sites)


@dataclass(frozen=True)
class Exchange:
    """The folder of one question: the answers that came, and its outcome once it is settled."""

    folder: Path

    @classmethod
    def at(cls, journal: Path, name: str, attempt: int = 1) -> Exchange:
        """Give the place of an exchange, whether there is one or not."""
        return cls(journal / (name if attempt == 1 else f"{name}{AGAIN}{attempt}"))

    @classmethod
    def open(
        cls,
        journal: Path,
        name: str,
        question: RecordDict,
        announced: Sequence[Announcement] = (),
        attempt: int = 1,
    ) -> Exchange:
        """Open the exchange of that name; what another question left there is refused.

        Answers under the masks of other session keys than those announced now are of no use any
        more, and are forgotten.

        Raises
        ------
        RunError
            The exchange holds answers to another question: the run's inputs have changed.
        """
        exchange = cls.at(journal, name, attempt)
        marker = exchange.folder / "question.json"
        now = {
            "digest": digest_of(question),
            "keys": {one.site: one.key.hex() for one in announced},
        }
        held = json.loads(marker.read_text(encoding="utf-8")) if marker.exists() else now
        if held["digest"] != now["digest"]:
            raise RunError(
                f"The answers kept for {name} belong to another question than the one asked.",
                "The run was begun with other software or inputs. Begin a new run.",
            )
        if held["keys"] != now["keys"] and exchange.outcome() is None:
            shutil.rmtree(exchange.folder)
        if not marker.exists():
            write_json(marker, now)
        return exchange

    def keep(self, site: str, answer: object) -> None:
        """Write down a site's answer, whole or not at all."""
        write_answer(self.folder / f"{site}.answer", answer)

    def drop(self, site: str) -> None:
        """Forget a site's answer."""
        (self.folder / f"{site}.answer").unlink(missing_ok=True)

    def answered(self, sites: Sequence[str]) -> list[str]:
        """Say which of the sites have answered so far."""
        return [site for site in sites if (self.folder / f"{site}.answer").exists()]

    def settle(self, sites: Sequence[str], missing: Mapping[str, str]) -> None:
        """Write down who counts and who does not: from here on it stays so."""
        write_json(self.folder / OUTCOME, {"sites": list(sites), "missing": dict(missing)})

    def outcome(self) -> tuple[list[str], dict[str, str]] | None:
        """Read what `settle` wrote; None while the question is open."""
        path = self.folder / OUTCOME
        if not path.exists():
            return None
        held: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return list(held["sites"]), dict(held["missing"])

    @staticmethod
    def forget(journal: Path, name: str) -> None:
        """Remove a question's exchange, at every attempt: nothing will ask for it again."""
        for folder in (journal / name, *journal.glob(f"{name}{AGAIN}*")):
            shutil.rmtree(folder, ignore_errors=True)


def write_answer(path: Path, answer: object) -> None:
    """Write a message: one line of JSON with its fields, then its arrays as safetensors."""
    record = to_record(answer)
    fields = json.dumps(dict(record["fields"]))
    with replacing(path) as part, part.open("wb") as file:
        file.write(fields.encode() + b"\n")
        file.write(packed_arrays(record))


def read_answer(path: Path, kind: type[Answer]) -> Answer:
    """Read back what `write_answer` wrote."""
    with path.open("rb") as file:
        fields = json.loads(file.readline())
        packed = file.read()
    return from_record(kind, packed_record(fields, packed))
