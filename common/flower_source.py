"""Is this the Flower whose source was read? What changes its behaviour asks first.

A release number says little about a function that is not part of an interface, so the source
itself is compared.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
from collections.abc import Mapping

RELEASE = "1.41."


def changed(read: Mapping[str, str]) -> list[str]:
    """Name what is not as it was read: `read` has the hash of the source of each `module:name`."""
    import flwr

    if not flwr.__version__.startswith(RELEASE):
        return [f"flwr is {flwr.__version__}, not {RELEASE}x"]
    return [place for place, hashed in read.items() if source_hash(place) != hashed]


def source_hash(place: str) -> str:
    """Hash the source of `module:name`; empty if there is none."""
    module, _, name = place.partition(":")
    try:
        text = inspect.getsource(getattr(importlib.import_module(module), name))
    except (ImportError, AttributeError, OSError, TypeError):
        return ""
    return hashlib.sha256(text.encode()).hexdigest()[:12]
