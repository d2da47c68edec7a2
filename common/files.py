"""Files that are written whole or not at all."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from common.messages import Arrays


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Lend a temporary file beside `path`; it becomes `path` if all goes well, else it vanishes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    os.close(handle)
    part = Path(name)
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_arrays(path: Path, arrays: Arrays) -> None:
    """Write arrays as safetensors."""
    with replacing(path) as part:
        save_file({key: np.asarray(value, order="C") for key, value in arrays.items()}, part)


def write_json(path: Path, content: object) -> None:
    """Write JSON, indented."""
    with replacing(path) as part:
        part.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
