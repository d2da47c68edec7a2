"""The coordinator's processes, started and kept running."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Callable
from ipaddress import ip_address

from common.errors import RunError, WrongUse
from common.supervise import Child, Supervisor
from server.network.certificates import key_fits, validity
from server.network.control import health
from server.network.environment import flower_environment
from server.network.folder import CoordinatorFolder
from server.network.locks import Taken, locked
from server.network.nodes import keep_registered

SUPERLINK, SUPEREXEC = "superlink", "superexec"
FIRST_WAIT, LONGEST_WAIT = 1.0, 5.0
"""Seconds before a process that ended is started again. Flower gives a run up that could not reach
its SuperLink for half a minute."""
CERTIFICATE_SECONDS = 5.0


def children(folder: CoordinatorFolder) -> tuple[Child, Child]:
    """Give the two processes of a coordinator: the SuperLink, and what starts ServerApps."""
    environment = flower_environment(folder)

    def child(name: str) -> Child:
        argv = (sys.executable, "-m", f"server.network.{name}", str(folder.path))
        return Child(name, argv, environment, folder.logs / f"{name}.log")

    return child(SUPERLINK), child(SUPEREXEC)


def up(
    folder: CoordinatorFolder,
    stop: threading.Event,
    tell: Callable[[str], None],
    came_up: Callable[[], None] = lambda: None,
) -> None:
    """Run the coordinator until `stop` is set; all its processes end with it.

    Parameters
    ----------
    tell
        Told in one sentence of each thing that happens.
    came_up
        Called when the SuperLink answers, also after a restart.

    Raises
    ------
    WrongUse
        It is up already, or its certificate cannot serve.
    RunError
        A port is taken by another program.
    """
    require_certificate(folder)
    try:
        with locked(folder.path / "up.lock"):
            require_ports(folder)
            supervisor = Supervisor(
                children(folder), tell, first_wait=FIRST_WAIT, longest_wait=LONGEST_WAIT
            )
            beside = [
                threading.Thread(target=keep_registered, args=(folder, stop, tell, came_up)),
                threading.Thread(target=_renewed_served, args=(folder, stop, tell, supervisor)),
            ]
            for thread in beside:
                thread.start()
            try:
                supervisor.run(stop)
            finally:
                stop.set()
                for thread in beside:
                    thread.join()
    except Taken:
        raise WrongUse(
            "This coordinator is up already.", "See: myofed coordinator status FOLDER"
        ) from None


def require_certificate(folder: CoordinatorFolder) -> None:
    """Refuse to start with a certificate that no site would accept.

    Raises
    ------
    WrongUse
        It has expired, is not yet valid, or its key or authority is another.
    """
    found = validity(folder.certificate, folder.authority)
    fix = "myofed coordinator renew FOLDER"
    if found.days_left <= 0:
        raise WrongUse(f"The server's certificate expired on {found.ends:%Y-%m-%d}.", fix)
    if not found.signed or not key_fits(folder.certificate, folder.server_key):
        raise WrongUse("The server's certificate does not fit its key or its authority.", fix)


def require_ports(folder: CoordinatorFolder) -> None:
    """Refuse to start when a port is taken.

    Raises
    ------
    WrongUse
        Our own SuperLink answers there.
    RunError
        Another program has it.
    """
    settings = folder.settings
    for host, port in ((settings.bind, settings.port), ("127.0.0.1", settings.health_port)):
        if port_is_free(host, port):
            continue
        if health(folder) is not None:
            raise WrongUse(
                "A SuperLink of this coordinator runs already, started otherwise.",
                "End it first; its process is shown by: ss -ltnp",
            )
        raise RunError(
            f"Port {port} of {host} is taken by another program, or cannot be opened.",
            f"End that program (ss -ltnp shows it), or change the port in {folder.settings_file}.",
        )


def port_is_free(host: str, port: int) -> bool:
    """Say whether a server can listen there."""
    family = socket.AF_INET6 if ip_address(host).version == 6 else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _renewed_served(
    folder: CoordinatorFolder,
    stop: threading.Event,
    tell: Callable[[str], None],
    supervisor: Supervisor,
) -> None:
    """Restart the SuperLink when its certificate was renewed: it reads it only at its start."""
    before = _stamp(folder)
    while not stop.wait(CERTIFICATE_SECONDS):
        now = _stamp(folder)
        if now != before and key_fits(folder.certificate, folder.server_key):
            before = now
            tell("the certificate was renewed; the SuperLink starts again with it")
            supervisor.restart(SUPERLINK)


def _stamp(folder: CoordinatorFolder) -> int:
    try:
        return folder.certificate.stat().st_mtime_ns
    except OSError:
        return 0
