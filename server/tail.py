"""The events of a run as they are written: each is read once, however long the file has become."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Tail:
    """Follows a run's `events.jsonl`; the file need not be there yet."""

    path: Path
    _offset: int = field(default=0)

    def new(self) -> list[dict[str, Any]]:
        """Read what was added since the last call; a line that is being written comes next time."""
        try:
            with self.path.open("rb") as file:
                file.seek(self._offset)
                text = file.read()
        except FileNotFoundError:
            return []
        whole = text[: text.rfind(b"\n") + 1]
        self._offset += len(whole)
        found = []
        for line in whole.splitlines():
            try:
                found.append(json.loads(line))
            except ValueError:
                continue
        return found
