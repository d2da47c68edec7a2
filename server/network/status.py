"""How a coordinator stands: its SuperLink, its sites, its runs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from common.errors import MyoFedError, RunError
from common.identity import fingerprint, node_key
from server.network.admission import admitted
from server.network.control import Control, Node
from server.network.folder import CoordinatorFolder
from server.network.follow import how_it_stands
from server.network.runs import Standing, find, identities


@dataclass(frozen=True)
class SiteStatus:
    """An admitted site; `online` is None when nobody can say, `seen` when it was last there."""

    name: str
    fingerprint: str
    online: bool | None
    seen: str


@dataclass(frozen=True)
class Status:
    """A coordinator as it stands now."""

    up: bool
    address: str
    sites: tuple[SiteStatus, ...]
    runs: tuple[Standing, ...]

    def as_dict(self) -> dict[str, Any]:
        """Give the status as JSON holds it."""
        runs = []
        for run in self.runs:
            what, fix = run.problem or ("", "")
            held = asdict(run)
            del held["problem"]
            runs.append({**held, "what": what, "fix": fix})
        return {
            "up": self.up,
            "address": self.address,
            "sites": [asdict(site) for site in self.sites],
            "runs": runs,
        }


def status_of(folder: CoordinatorFolder) -> Status:
    """Look how a coordinator stands; it need not be up."""
    with Control(folder) as control:
        try:
            nodes: list[Node] | None = control.nodes()
        except RunError:
            nodes = None
        up = nodes is not None
        runs = tuple(_run(folder, one, control if up else None) for one in identities(folder))
    return Status(up, folder.address, sites_of(folder, nodes), tuple(one for one in runs if one))


def online(folder: CoordinatorFolder, control: Control) -> set[str]:
    """Name the admitted sites that are online now."""
    return {site.name for site in sites_of(folder, control.nodes()) if site.online}


def sites_of(folder: CoordinatorFolder, nodes: list[Node] | None) -> tuple[SiteStatus, ...]:
    """Say of every admitted site whether it is online; `nodes` is None when nobody can say."""
    found = []
    by_key = {node.key: node for node in nodes or []}
    for name, request in admitted(folder).items():
        node = by_key.get(node_key(request.public_key))
        online = None if nodes is None else node is not None and node.online
        seen = "" if node is None else max(node.activated, node.deactivated)
        found.append(SiteStatus(name, fingerprint(request.public_key), online, seen))
    return tuple(found)


def _run(folder: CoordinatorFolder, identity: str, control: Control | None) -> Standing | None:
    """Say how a run stands; a folder that cannot be read must not hide the others."""
    try:
        return how_it_stands(find(folder, identity), control)
    except MyoFedError as error:
        return Standing(identity, "", "failed", "", "", None, (error.what, error.fix))
