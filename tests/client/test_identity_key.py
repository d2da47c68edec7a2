"""A site's identity key: made once, for its owner only, and the same line wherever it is shown."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from client.identity_key import load_identity, make_identity, public_identity
from common.errors import WrongUse
from common.identity import identity_bytes, identity_line, line_fingerprint, make_key
from common.study_tables import Site


def test_a_key_is_made_once_and_signs_as_its_public_line(tmp_path: Path) -> None:
    site = tmp_path / "sites" / "tufts"
    line = make_identity(site)
    key, public = site / "identity.key", site / "identity.pub"
    assert key.stat().st_mode & 0o777 == 0o600
    assert key.read_text().startswith("-----BEGIN OPENSSH PRIVATE KEY-----")
    assert public.read_text() == f"{line}\n"
    before = key.read_bytes()
    public.unlink()
    assert make_identity(site) == line == public_identity(site)
    assert key.read_bytes() == before
    assert public.exists()
    signature = load_identity(site).sign(b"word")
    Ed25519PublicKey.from_public_bytes(identity_bytes(line)).verify(signature, b"word")
    assert Site(name="tufts", role="train", key=line).key == line


def test_ssh_keygen_reads_both_halves(tmp_path: Path) -> None:
    line = make_identity(tmp_path)
    try:
        told = subprocess.run(
            ["ssh-keygen", "-y", "-f", tmp_path / "identity.key"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        shown = subprocess.run(
            ["ssh-keygen", "-l", "-f", tmp_path / "identity.pub"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
    except FileNotFoundError:
        pytest.skip("there is no ssh-keygen here")
    assert told.stdout.split()[:2] == line.split()
    assert line_fingerprint(line) in shown.stdout


def test_a_public_file_that_was_exchanged_deceives_nobody(tmp_path: Path) -> None:
    line = make_identity(tmp_path / "a")
    other = make_identity(tmp_path / "b")
    (tmp_path / "a" / "identity.pub").write_text(other)
    assert public_identity(tmp_path / "a") == line


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620])
def test_a_key_that_others_can_reach_is_refused(tmp_path: Path, mode: int) -> None:
    make_identity(tmp_path)
    key = tmp_path / "identity.key"
    key.chmod(mode)
    for use in (load_identity, public_identity, make_identity):
        with pytest.raises(WrongUse, match="can be read by others") as refused:
            use(tmp_path)
        assert refused.value.fix == f"chmod 600 {key}"


def test_what_is_no_identity_key_is_refused_and_never_overwritten(tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match="has no identity key") as refused:
        load_identity(tmp_path)
    assert "myofed site init" in refused.value.fix
    key = tmp_path / "identity.key"
    make_key(key)
    of_a_node = key.read_bytes()
    for content in (of_a_node, b"", b"nonsense", b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n"):
        key.write_bytes(content)
        for use in (load_identity, make_identity):
            with pytest.raises(WrongUse, match="is not the identity key of a site") as refused:
                use(tmp_path)
            assert content.decode() not in str(refused.value) or not content
        assert key.read_bytes() == content
    assert not (tmp_path / "identity.pub").exists()


def test_only_a_plain_line_of_an_ed25519_key_is_an_identity(tmp_path: Path) -> None:
    public = Ed25519PrivateKey.generate().public_key()
    line = identity_line(public)
    assert identity_bytes(line) == public.public_bytes_raw()
    bad = [
        "", "ssh-ed25519", line[:-1], line + " tufts", line + "\n", line[:-4] + "====",
        line.upper(), line + "\nx", line.replace("ssh-ed25519", "ssh-rsa"),
        make_key(tmp_path / "key"),
    ]  # fmt: skip
    for one in bad:
        with pytest.raises(WrongUse, match="not a site's identity key"):
            identity_bytes(one)
