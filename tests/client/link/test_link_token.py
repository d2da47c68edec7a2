"""The token: made once, by whoever comes first, and read by its owner only."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from link_samples import mode_of

from client.link.place import LinkError, opened
from client.link.token import TOKEN_FILE, token_of


def test_a_token_is_made_once_and_kept(link: Path) -> None:
    folder = opened(link)
    token = token_of(folder)
    assert len(bytes.fromhex(token)) == 32
    assert token_of(folder) == token
    assert mode_of(folder / TOKEN_FILE) == 0o600
    assert os.listdir(folder) == [TOKEN_FILE]
    (folder / TOKEN_FILE).unlink()
    assert token_of(folder) != token


def test_all_who_come_at_once_read_the_same(link: Path) -> None:
    folder = opened(link)
    with ThreadPoolExecutor(16) as pool:
        found = set(pool.map(token_of, [folder] * 64))
    assert len(found) == 1
    assert os.listdir(folder) == [TOKEN_FILE]


def test_a_folder_made_for_a_group_has_a_token_for_the_group(link: Path) -> None:
    folder = opened(link)
    folder.chmod(0o770)
    token_of(folder)
    found = (folder / TOKEN_FILE).stat()
    assert (found.st_mode & 0o777, found.st_gid) == (0o640, folder.stat().st_gid)


@pytest.mark.parametrize("mode", [0o604, 0o602, 0o601, 0o644, 0o660, 0o650, 0o777])
def test_a_token_that_others_can_read_or_change_is_refused(link: Path, mode: int) -> None:
    folder = opened(link)
    token = token_of(folder)
    (folder / TOKEN_FILE).chmod(mode)
    with pytest.raises(LinkError, match="Others than its owner can read") as caught:
        token_of(folder)
    assert token not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"secret", b"z" * 64, b"a" * 65, b"\xff" * 64])
def test_what_is_no_token_is_refused(link: Path, content: bytes) -> None:
    folder = opened(link)
    (folder / TOKEN_FILE).write_bytes(content)
    (folder / TOKEN_FILE).chmod(0o600)
    with pytest.raises(LinkError, match=r"holds no token|cannot be read"):
        token_of(folder)


def test_a_folder_that_is_gone_has_no_token(link: Path) -> None:
    with pytest.raises(LinkError, match="cannot be read"):
        token_of(link)
