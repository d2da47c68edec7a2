"""Versions of what can change a number, for the handshake and for the record."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping
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


def in_common(versions: Mapping[str, str]) -> dict[str, str]:
    """Cut versions to what all sites of a run must have alike.

    Python's bug fixes come with a site's operating system, and the build of a package (`+cpu`, or
    `+cu130` for a GPU) with its computer. The release of each package and Python 3.11 remain.
    """
    found = {package: version.partition("+")[0] for package, version in versions.items()}
    if "python" in found:
        found["python"] = ".".join(found["python"].split(".")[:2])
    return found
