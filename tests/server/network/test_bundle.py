"""The bundle: Flower accepts it, it holds no code, and it is the same to the byte."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from flwr.cli.config_utils import get_fab_config, get_fab_metadata
from flwr.cli.install import install_from_fab
from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp
from flwr.supercore.object_ref import load_app
from network_samples import ROOT

from common.bundle import CLIENT_APP, RUN_KEY, SERVER_APP, bundle, bundle_hash

HASH = "import common.bundle, sys; sys.stdout.write(common.bundle.bundle_hash())"


def test_the_same_release_makes_the_same_bundle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    other = subprocess.run(
        [sys.executable, "-c", HASH], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert other.stdout == bundle_hash()


def test_another_release_makes_another(monkeypatch: pytest.MonkeyPatch) -> None:
    before = bundle_hash()
    monkeypatch.setattr("common.bundle.version", lambda _: "99.0")
    assert bundle_hash() != before


def test_it_holds_no_code() -> None:
    with zipfile.ZipFile(io.BytesIO(bundle())) as file:
        assert file.namelist() == ["pyproject.toml", ".info/CONTENT"]


def test_flower_accepts_it(tmp_path: Path) -> None:
    assert get_fab_metadata(bundle())[0] == "myofed/myofed-run"
    app = get_fab_config(bundle())["tool"]["flwr"]["app"]
    assert app["components"] == {"serverapp": SERVER_APP, "clientapp": CLIENT_APP}
    assert app["config"] == {RUN_KEY: ""}
    installed = install_from_fab(bundle(), tmp_path, skip_prompt=True)
    assert isinstance(load_app(SERVER_APP, RuntimeError, installed), ServerApp)
    assert isinstance(load_app(CLIENT_APP, RuntimeError, installed), ClientApp)


@pytest.mark.parametrize("module", ["server.network.app", "myofed", "common.bundle"])
def test_what_starts_often_starts_without_what_takes_long(module: str) -> None:
    slow = ("torch", "SimpleITK", "radiomics", "nibabel", "pydicom", "scipy", "pandas")
    script = f"import sys, {module}; print([name for name in {slow} if name in sys.modules])"
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert found.stdout == "[]\n"
