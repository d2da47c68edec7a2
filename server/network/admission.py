"""Who may take part: the keys that were admitted, and those that were withdrawn for good."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from common.errors import WrongUse
from common.identity import JoinRequest, fingerprint, node_key
from server.network.folder import CoordinatorFolder


@dataclass(frozen=True)
class Admission:
    """What an admission did: the site, its key's fingerprint, and that of the key it replaced."""

    name: str
    fingerprint: str
    replaced: str | None
    new: bool


def admitted(folder: CoordinatorFolder) -> dict[str, JoinRequest]:
    """Read the admitted sites by name.

    Raises
    ------
    WrongUse
        A file in the folder is no join request, or bears another name than its own.
    """
    found = {}
    for path in sorted(folder.admitted.glob("*.json")):
        request = JoinRequest.load(path)
        if request.name != path.stem:
            raise WrongUse(
                f"{path} holds the key of {request.name}.",
                "Remove it, and admit the site anew: myofed coordinator admit",
            )
        found[request.name] = request
    return found


def admitted_keys(folder: CoordinatorFolder) -> dict[bytes, str]:
    """Read the admitted keys as Flower writes them (PEM), each with the name of its site."""
    return {node_key(one.public_key): name for name, one in admitted(folder).items()}


def admit(folder: CoordinatorFolder, request: JoinRequest, replace: bool = False) -> Admission:
    """Admit a site under its name, with its key.

    Parameters
    ----------
    replace
        Let the key take the place of another one of the same name. The old one is withdrawn: it
        can never be admitted again.

    Raises
    ------
    WrongUse
        The name has another key, the key has another name, or the key was withdrawn.
    """
    own = fingerprint(request.public_key)
    if _withdrawn(folder, request).exists():
        raise WrongUse(
            f"The key {own} was withdrawn earlier and cannot come back.",
            "The site makes a new key: move the old one away, then 'myofed site init'.",
        )
    held = admitted(folder)
    for name, other in held.items():
        if name != request.name and _same(other, request):
            raise WrongUse(
                f"The key {own} is already admitted as {name}.",
                "A site has one name. Ask it for the join request of its own key.",
            )
    before = held.get(request.name)
    if before is not None and _same(before, request):
        return Admission(request.name, own, None, new=False)
    if before is not None and not replace:
        raise WrongUse(
            f"{request.name} is admitted with another key, {fingerprint(before.public_key)}.",
            f"The new one is {own}. If the site confirms by telephone that it made a new key, "
            "give --replace.",
        )
    if before is not None:
        before.save(_withdrawn(folder, before))
    request.save(folder.admitted / f"{request.name}.json")
    replaced = None if before is None else fingerprint(before.public_key)
    return Admission(request.name, own, replaced, new=True)


class AdmittedNow(Mapping[str, str]):
    """The admitted sites' keys (OpenSSH lines) by name, as they are now.

    The folder is read again when it has changed. While a file in it cannot be read, everything
    stays as it was before.
    """

    def __init__(self, folder: CoordinatorFolder) -> None:
        self._folder = folder
        self._seen: object = None
        self._keys: dict[str, str] = {}
        self._node_keys: dict[bytes, str] = {}

    def __getitem__(self, name: str) -> str:
        return self._read()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._read())

    def __len__(self) -> int:
        return len(self._read())

    def node_keys(self) -> Mapping[bytes, str]:
        """Give the keys as Flower writes them (PEM), each with the name of its site."""
        self._read()
        return self._node_keys

    def _read(self) -> dict[str, str]:
        try:
            files = sorted(self._folder.admitted.glob("*.json"))
            seen = [(file.name, file.stat().st_mtime_ns, file.stat().st_size) for file in files]
            if seen != self._seen:
                self._seen = seen
                held = admitted(self._folder)
                self._node_keys = {node_key(one.public_key): name for name, one in held.items()}
                self._keys = {name: one.public_key for name, one in held.items()}
        except (WrongUse, OSError) as error:
            logging.getLogger("myofed.coordinator").error("%s", error)
        return self._keys


def _same(one: JoinRequest, other: JoinRequest) -> bool:
    """Compare keys by what they are: the comment at the end of an OpenSSH line is not part."""
    return node_key(one.public_key) == node_key(other.public_key)


def _withdrawn(folder: CoordinatorFolder, request: JoinRequest) -> Path:
    digest = hashlib.sha256(node_key(request.public_key)).hexdigest()
    return folder.withdrawn / f"{digest}.json"
