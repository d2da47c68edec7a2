"""The workers of a simulation: in the engine's own processes, one loaded site each at a time.

The engine runs a message in whichever of its processes is free, so each keeps the sites that it
has loaded. What a site must remember between messages lies in its folder. A person who simulates
stands in for all sites, so the study of the simulation is the one that each has approved.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from flwr.app import Context

from client.site_keys import SiteKeys
from client.site_log import SITE_LOG, log_to
from client.worker.desk import WorkerDesk
from common.errors import StudyMismatch
from common.memory import keep_freed_memory
from common.study import Study


@dataclass(frozen=True)
class LocalWorkers:
    """Finds the worker of a simulated node: node k is the k-th site of the roster.

    `identities` are private identity keys of the sites, made for this simulation.
    """

    folders: tuple[str, ...]
    study: str
    identities: tuple[bytes, ...]

    def __call__(self, context: Context) -> WorkerDesk:
        """Give the worker of the node that the context belongs to."""
        place = int(context.node_config["partition-id"])
        return local_worker(self.folders[place], self.study, self.identities, place)


@lru_cache(maxsize=4)
def local_worker(folder: str, study: str, identities: tuple[bytes, ...], place: int) -> WorkerDesk:
    """Give the worker of a site folder for a study (canonical JSON); kept in this process."""
    # As a site's own worker does.
    keep_freed_memory()
    approved = Study.model_validate_json(study)
    own = [Ed25519PrivateKey.from_private_bytes(one) for one in identities]
    roster = {
        site.name: key.public_key().public_bytes_raw()
        for site, key in zip(approved.sites, own, strict=True)
    }

    def study_of(fingerprint: str) -> Study:
        if fingerprint != approved.fingerprint:
            raise StudyMismatch("The question is of another study than the simulation's.")
        return approved

    desk = WorkerDesk(folder, study_of, keys=SiteKeys(own[place], roster))
    log_to(desk.site.path / SITE_LOG, desk.site.name)
    return desk
