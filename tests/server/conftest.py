"""The coordinator in a hurry."""

from __future__ import annotations

import pytest

from server import delivery, federation, patience


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses of a thousandth of a second, and a look in the directory at each of them."""
    monkeypatch.setattr(patience, "SHORT_SECONDS", 0.001)
    monkeypatch.setattr(federation, "GRACE_SECONDS", 0.05)
    monkeypatch.setattr(delivery, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(delivery, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr(delivery, "LONGEST_PAUSE", 0.004)
