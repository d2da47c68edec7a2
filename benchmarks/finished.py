"""What an earlier call of a benchmark has finished, and only of the very study that is asked for.

A run that lay in the right folder and was of another protocol once stood in a table.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from common.study import Study


def results_of(run: Path, study: Study) -> dict[str, Any] | None:
    """Read the results of a run that is finished; None where it is not.

    An unfinished one of another study is refused by `RunFolder.begin`, when it is gone on with.

    Raises
    ------
    ValueError
        What lies there is a finished run of another study.
    """
    results = run / "results.json"
    if not results.exists():
        return None
    content: dict[str, Any] = json.loads(results.read_text(encoding="utf-8"))
    held = content["fingerprint"]
    if held != study.fingerprint:
        raise ValueError(f"{run} holds a run of another study ({held[:12]}): remove it.")
    return content
