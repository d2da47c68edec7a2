"""The coordinator's folder: whole, private, never overwritten."""

from __future__ import annotations

from pathlib import Path

import pytest
from network_samples import make_folder

from common.errors import WrongUse
from server.network.certificates import validity
from server.network.folder import CoordinatorFolder, Settings, join


def everything(path: Path) -> dict[str, bytes]:
    return {str(file): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def test_what_is_made_is_opened_again(tmp_path: Path) -> None:
    made = make_folder(tmp_path / "coord", "Coordinator.example.org", "192.0.2.7")
    opened = CoordinatorFolder.open(tmp_path / "coord")
    assert opened.settings == made.settings
    assert opened.settings.hosts == ("coordinator.example.org", "192.0.2.7")
    assert opened.address == f"coordinator.example.org:{made.settings.port}"
    assert opened.local_address == f"127.0.0.1:{made.settings.port}"
    assert set(opened.settings.hosts) < set(validity(opened.certificate, opened.authority).names)


def test_secrets_are_their_owners_only_and_differ(tmp_path: Path) -> None:
    one, other = make_folder(tmp_path / "one"), make_folder(tmp_path / "other")
    for file in one.secrets.iterdir():
        assert file.stat().st_mode & 0o777 == 0o600
        assert file.read_bytes() != (other.secrets / file.name).read_bytes()
    for folder in (one.path, one.secrets, one.runs, one.logs):
        assert folder.stat().st_mode & 0o777 == 0o700
    assert len(one.token()) == 64
    assert one.token() not in repr(one)


def test_nothing_is_ever_overwritten(tmp_path: Path) -> None:
    made = make_folder(tmp_path / "coord")
    before = everything(made.path)
    with pytest.raises(WrongUse, match="never overwritten"):
        CoordinatorFolder.create(made.path, made.settings)
    made.settings_file.unlink()  # an init that was interrupted before its end
    with pytest.raises(WrongUse, match="never overwritten"):
        CoordinatorFolder.create(made.path, made.settings)
    after = everything(made.path)
    assert after == {key: before[key] for key in after}
    (tmp_path / "file").touch()
    with pytest.raises(WrongUse, match="never overwritten"):
        CoordinatorFolder.create(tmp_path / "file", made.settings)


def test_a_mounted_folder_that_is_there_already_is_filled(tmp_path: Path) -> None:
    (tmp_path / "coord" / "lost+found").mkdir(parents=True)
    assert make_folder(tmp_path / "coord").certificate.exists()


@pytest.mark.parametrize("name", ["control.token", "superexec.secret", "ca.key", "server.key"])
def test_a_secret_that_is_lost_or_open_to_others_is_refused(tmp_path: Path, name: str) -> None:
    secret = make_folder(tmp_path / "coord").secrets / name
    secret.chmod(0o640)
    with pytest.raises(WrongUse, match="can be read by others") as open_to_others:
        CoordinatorFolder.open(tmp_path / "coord")
    assert f"chmod 600 {secret}" in str(open_to_others.value)
    secret.unlink()
    with pytest.raises(WrongUse, match=f"{name} is missing"):
        CoordinatorFolder.open(tmp_path / "coord")


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("port = 0", "port"),
        ("port = ", "cannot be read"),
        ("colour = 1", "colour"),
        ('bind = "everywhere"', "not an address to listen on"),
        ("health_port = 9443\nport = 9443", "both 9443"),
        ('hosts = ["https://a"]', "neither a host name nor an address"),
        ("hosts = []", "hosts"),
    ],
)
def test_settings_that_cannot_be_used_are_named(tmp_path: Path, line: str, complaint: str) -> None:
    folder = make_folder(tmp_path / "coord")
    keys = {part.partition(" =")[0] for part in line.splitlines()}
    kept = [one for one in folder.settings.text().splitlines() if one.split(" =")[0] not in keys]
    folder.settings_file.write_text("\n".join([*kept, line]) + "\n")
    with pytest.raises(WrongUse, match=complaint):
        CoordinatorFolder.open(folder.path)


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match="not a coordinator's folder"):
        CoordinatorFolder.open(tmp_path)


def test_a_listening_address_is_in_the_certificate_and_used_from_here(tmp_path: Path) -> None:
    settings = Settings(hosts=("example.org",), bind="192.0.2.9")
    folder = CoordinatorFolder.create(tmp_path / "coord", settings)
    assert "192.0.2.9" in validity(folder.certificate, folder.authority).names
    assert folder.local_address == "192.0.2.9:9443"
    assert join("2001:db8::1", 9443) == "[2001:db8::1]:9443"


def test_renewal_follows_the_settings(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "coord", "old.example.org")
    text = folder.settings_file.read_text().replace("old.example", "new.example")
    folder.settings_file.write_text(text)
    before = folder.authority.read_bytes()
    again = CoordinatorFolder.open(folder.path)
    again.renew()
    assert "new.example.org" in validity(again.certificate, again.authority).names
    assert "old.example.org" not in validity(again.certificate, again.authority).names
    assert again.authority.read_bytes() == before
