"""Versions of what can change a number, for the handshake and for the record."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version

PACKAGES = ("myofed", "flwr", "numpy", "pyradiomics", "scipy", "SimpleITK", "torch")


def package_versions(packages: Iterable[str] = PACKAGES) -> dict[str, str]:
    """Give the version of Python and of each package, 'absent' where it is not installed."""
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "absent"
    return found
