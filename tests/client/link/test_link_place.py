"""Where the rooms meet: what can be a place, and who may enter it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from link_samples import mode_of

from client.link.place import LinkError, OnlyServer, opened, target_of


def test_a_new_folder_is_its_owners_alone(link: Path) -> None:
    assert mode_of(opened(link)) == 0o700


def test_a_folder_that_everybody_writes_into_is_refused(link: Path) -> None:
    link.mkdir()
    link.chmod(0o777)
    with pytest.raises(LinkError, match=r"Everybody can write .* chmod o-w"):
        opened(link)


def test_a_file_is_no_folder(link: Path) -> None:
    link.write_text("")
    with pytest.raises(LinkError, match="cannot be used"):
        opened(link)


def test_a_socket_with_too_long_a_path_is_refused_with_what_to_do() -> None:
    longest = Path("/" + "a" * (107 - len("/worker.sock") - 1))
    assert target_of(longest) == f"unix:{longest}/worker.sock"
    with pytest.raises(LinkError, match=r"108 bytes; .* at most 107. Name a shorter .* --link"):
        target_of(longest.with_name(longest.name + "a"))
    with pytest.raises(LinkError, match="shorter"):  # bytes count, not letters
        target_of(Path("/" + "ü" * 50))


@pytest.mark.parametrize("address", ["worker:9200", "10.0.0.7:9200", "127.0.0.1:0", "[::1]:80"])
def test_private_addresses_and_names_are_places(address: str) -> None:
    assert target_of(Path("/any"), address) == address


@pytest.mark.parametrize("address", ["", "worker", ":80", "worker:99999", "a b:1", "unix:/x"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(LinkError, match=r"is not an address\. Give HOST:PORT"):
        target_of(Path("/any"), address)


@pytest.mark.parametrize("address", ["8.8.8.8:9200", "[2001:4860:4860::8888]:9200"])
def test_public_addresses_are_refused(address: str) -> None:
    with pytest.raises(LinkError, match="public address, and the link is not encrypted"):
        target_of(Path("/any"), address)


def test_a_folder_has_one_server_at_a_time(link: Path) -> None:
    folder = opened(link)
    with OnlyServer(folder):
        with pytest.raises(LinkError, match="Another worker serves"), OnlyServer(folder):
            pass
        with pytest.raises(LinkError, match="Another worker serves"), OnlyServer(folder):
            pass
    with OnlyServer(folder):
        pass
    assert os.listdir(folder) == ["worker.lock"]
