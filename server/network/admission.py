"""Who may take part: the keys that were admitted, and those that were withdrawn for good."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from common.errors import WrongUse
from common.identity import (
    JoinRequest,
    fingerprint,
    identity_bytes,
    line_fingerprint,
    node_key,
)
from server.network.folder import CoordinatorFolder

_NODE, _IDENTITY = "node key", "identity"


@dataclass(frozen=True)
class Admission:
    """What an admission did: the site, its keys' fingerprints, and those of the keys they replaced.

    `fingerprint` is that of the node's key, `identity` that of the worker's.
    """

    name: str
    fingerprint: str
    identity: str
    replaced: tuple[str, ...]
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
    """Admit a site under its name, with its two keys.

    Parameters
    ----------
    replace
        Let a key take the place of another one of the same name. The old one is withdrawn: it
        can never be admitted again.

    Raises
    ------
    WrongUse
        The name has another key, a key has another name, or was withdrawn.
    """
    own = _keys(request)
    for kind, shown in own.items():
        if _withdrawn(folder, request, kind).exists():
            raise WrongUse(
                f"The {kind} {shown} was withdrawn earlier and cannot come back.",
                "The site makes a new one: move the old one away, then 'myofed site init'.",
            )
    held = admitted(folder)
    for name, other in held.items():
        for kind, shown in _keys(other).items():
            if name != request.name and shown == own[kind]:
                raise WrongUse(
                    f"The {kind} {shown} is already admitted as {name}.",
                    "A site has one name. Ask it for the join request of its own keys.",
                )
    before = held.get(request.name)
    changed = {} if before is None else _differing(before, own)
    if before is not None and not changed:
        return _done(request, (), new=False)
    if changed and not replace:
        raise WrongUse(
            f"{request.name} is admitted with another "
            + " and another ".join(f"{kind}, {shown}" for kind, shown in changed.items())
            + ".",
            f"The new: {', '.join(f'{kind} {own[kind]}' for kind in changed)}. If the site "
            "confirms by telephone that it made a new key, give --replace.",
        )
    if before is not None:
        for kind in changed:
            before.save(_withdrawn(folder, before, kind))
    request.save(folder.admitted / f"{request.name}.json")
    return _done(request, tuple(changed.values()), new=True)


class AdmittedNow:
    """The admitted keys as Flower writes them (PEM), each with the name of its site, as of now.

    The folder is read again when it has changed. While a file in it cannot be read, everything
    stays as it was before.
    """

    def __init__(self, folder: CoordinatorFolder) -> None:
        self._folder = folder
        self._seen: object = None
        self._keys: dict[bytes, str] = {}

    def __call__(self) -> Mapping[bytes, str]:
        """Give the names by key."""
        try:
            # This is done for each request, so the folder is looked through in one go.
            with os.scandir(self._folder.admitted) as found:
                files = [(one.name, one.stat()) for one in found if one.name.endswith(".json")]
            seen = sorted((name, now.st_mtime_ns, now.st_size) for name, now in files)
            if seen != self._seen:
                self._seen = seen
                self._keys = admitted_keys(self._folder)
        except (WrongUse, OSError) as error:
            logging.getLogger("myofed.coordinator").error("%s", error)
        return self._keys


def _done(request: JoinRequest, replaced: tuple[str, ...], new: bool) -> Admission:
    own = _keys(request)
    return Admission(request.name, own[_NODE], own[_IDENTITY], replaced, new)


def _keys(request: JoinRequest) -> dict[str, str]:
    """Give the fingerprints of a site's keys. They leave out the comment of an OpenSSH line."""
    return {
        _NODE: fingerprint(request.public_key),
        _IDENTITY: line_fingerprint(request.identity),
    }


def _differing(before: JoinRequest, own: Mapping[str, str]) -> dict[str, str]:
    return {kind: shown for kind, shown in _keys(before).items() if shown != own[kind]}


def _withdrawn(folder: CoordinatorFolder, request: JoinRequest, kind: str) -> Path:
    """Give where a withdrawn key is kept; those of nodes are the JSON files."""
    if kind == _NODE:
        digest = hashlib.sha256(node_key(request.public_key)).hexdigest()
        return folder.withdrawn / f"{digest}.json"
    digest = hashlib.sha256(identity_bytes(request.identity)).hexdigest()
    return folder.withdrawn / f"{digest}.identity"
