"""The plan of an examination: which checks a site needs, in the order in which one looks for a
fault.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from client.approved import approved
from client.doctor.admission import admission_check
from client.doctor.clock import clock_check
from client.doctor.cohort import cohort_check
from client.doctor.disk import disk_check, key_check
from client.doctor.health import GRPC_NAME, grpc_check, web_check
from client.doctor.identity import identity_check
from client.doctor.name import name_check
from client.doctor.port import port_check
from client.doctor.proxies import proxy_check
from client.doctor.radiomics import radiomics_check
from client.doctor.room import room_check
from client.doctor.route import Address, proxy_to
from client.doctor.tls import tls_check
from client.doctor.training import training_check
from client.doctor.versions import studies_check, versions_check
from client.rooms import NodeRoom
from common.check import Check, Task, examine, failed
from common.errors import StudyError, WrongUse
from common.study import Study

COHORT_SECONDS = 600.0
SELF_TEST_SECONDS = 120.0
IMPORT_SECONDS = 30.0
"""A check that loads Flower waits for the disk first."""


def examine_site(
    site: Path,
    tell: Callable[[Check], None] = lambda _: None,
    progress: Callable[[int, int], None] = lambda *_: None,
    with_data: bool = True,
) -> list[Check]:
    """Make all checks of a site; `with_data` adds those of the worker's room."""
    room = NodeRoom.of(site)
    tasks = [Task("key", partial(key_check, room)), *_of_network(room)]
    tasks.append(Task("software", versions_check, IMPORT_SECONDS))
    tasks.append(Task("disk", partial(disk_check, [site, room.path])))
    if with_data:
        tasks += _of_data(site, progress)
    return examine(tasks, tell)


def _of_network(room: NodeRoom) -> list[Task]:
    try:
        settings = room.joined()
        address = Address.parse(settings.coordinator)
    except WrongUse as error:
        missing = failed("coordinator", error.what, error.fix)
        return [Task("coordinator", lambda: missing)]
    proxy, ca = proxy_to(address), room.ca
    tasks = [
        Task("proxy", partial(proxy_check, address, proxy)),
        Task("name (DNS)", partial(name_check, address, proxy)),
        Task("port", partial(port_check, address, proxy)),
        Task("certificate (TLS)", partial(tls_check, address, ca, proxy)),
        Task("clock", partial(clock_check, address, ca, proxy)),
        Task("coordinator", partial(web_check, address, ca, proxy)),
    ]
    if settings.coordinator_health:
        tasks.append(Task(GRPC_NAME, partial(grpc_check, settings.coordinator_health)))
    admission = partial(admission_check, address, ca, room.key)
    return [*tasks, Task("admission", admission, IMPORT_SECONDS)]


def _of_data(site: Path, progress: Callable[[int, int], None]) -> list[Task]:
    studies: dict[str, Study] = {}
    with suppress(StudyError):  # a check of its own says so
        studies = approved(site)
    return [
        Task("data", partial(room_check, site)),
        Task("identity", partial(identity_check, site)),
        Task("approved studies", partial(studies_check, site)),
        Task("cohort", partial(cohort_check, site, studies, progress), COHORT_SECONDS),
        Task("radiomics self-test", partial(radiomics_check, studies), SELF_TEST_SECONDS),
        Task("training", partial(training_check, studies), SELF_TEST_SECONDS),
    ]
