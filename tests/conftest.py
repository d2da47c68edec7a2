"""What tests of several folders use."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from server import delivery, patience


@pytest.fixture(scope="module")
def impatient() -> Iterator[None]:
    """A coordinator that looks for answers all the time: its sites are in this very process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(patience, "SHORT_SECONDS", 0.001)
        patch.setattr(delivery, "LOOK_SECONDS", 0.0)
        yield
