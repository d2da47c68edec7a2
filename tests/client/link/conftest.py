"""Folders with short paths: a Unix socket's may not be long."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def link() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="myofed-"))
    yield folder / "link"
    shutil.rmtree(folder, ignore_errors=True)
