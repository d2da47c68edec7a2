"""Versions: what is recorded, and what sites of a run must have alike."""

from __future__ import annotations

from common.versions import PACKAGES, in_common, package_versions


def test_versions_are_recorded_with_their_build_and_bug_fixes() -> None:
    found = package_versions((*PACKAGES, "no-such-package"))
    assert set(found) == {*PACKAGES, "python", "no-such-package"}
    assert found["no-such-package"] == "absent"
    assert found["python"].count(".") == 2


def test_builds_and_bug_fixes_of_python_are_not_compared() -> None:
    one = {"python": "3.11.7", "numpy": "2.4.6", "torch": "2.13.0+cpu"}
    other = {"python": "3.11.2", "numpy": "2.4.6", "torch": "2.13.0+cu130"}
    assert in_common(one) == in_common(other)
    assert in_common(one) == {"python": "3.11", "numpy": "2.4.6", "torch": "2.13.0"}
    assert in_common(one | {"python": "3.12.1"}) != in_common(one)
    assert in_common(one | {"numpy": "2.4.7"}) != in_common(one)
    assert in_common({}) == {}
