"""A disk that runs full at a site or at the coordinator: with room again, the run goes on."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import Build, release_bytes
from consortium import Consortium, until

pytestmark = [pytest.mark.slow, pytest.mark.soak]

LONG = 300.0
SIZE_MB = 200
FULL_SECONDS = 30.0


@pytest.fixture
def mount() -> Iterator[Callable[[Path], None]]:
    """Puts a small disk at a folder, with what the folder holds; taken away in the end."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a disk")
    places: list[Path] = []

    def one(place: Path) -> None:
        small_disk(place)
        places.append(place)

    yield one
    for place in places:
        subprocess.run(["umount", "--lazy", str(place)], check=False)


def small_disk(place: Path) -> None:
    aside = place.with_name(f"{place.name}.aside")
    if place.exists():
        place.rename(aside)
    place.mkdir(parents=True)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE_MB}m,mode=700", "tmpfs", str(place)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        pytest.skip(f"no disk can be mounted here: {done.stderr.strip()}")
    if aside.exists():
        shutil.copytree(aside, place, dirs_exist_ok=True)
        shutil.rmtree(aside)


def fill(place: Path) -> Path:
    """Take all the room that is left."""
    filler = place / "filler"
    with filler.open("wb", buffering=0) as file:
        for block in (2**20, 4096, 1):
            try:
                while True:
                    file.write(b"0" * block)
            except OSError:
                continue
    return filler


@pytest.mark.parametrize("where", ["coordinator", "site"])
def test_a_run_goes_on_when_a_full_disk_has_room_again(
    build: Build, mount: Callable[[Path], None], simulated: dict[str, bytes], where: str
) -> None:
    consortium: Consortium = build(prepare=lambda root: mount(place_of(root, where)))
    place = place_of(consortium.folder, where)
    consortium.start()
    run = consortium.submit()
    until(lambda: consortium.reached(run, "train", number=1), LONG, "the first round")
    filler = fill(place)
    time.sleep(FULL_SECONDS)
    stands = consortium.state(run)
    assert stands in ("running", "failed", "interrupted")
    if stands == "failed":
        told = consortium.events(run)[-1]["what"]
        assert str(place) not in told
        assert where == "coordinator" or "bergamo: " in told
    filler.unlink()
    if stands != "running":
        consortium.command("coordinator", "resume", consortium.coord, run, "--detach")
    assert consortium.outcome(run, LONG)["event"] == "finished"
    assert release_bytes(consortium.run_folder(run)) == simulated
    consortium.stop_all()


def place_of(root: Path, where: str) -> Path:
    return root / "coord" if where == "coordinator" else root / "sites" / "bergamo"
