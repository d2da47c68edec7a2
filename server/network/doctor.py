"""`myofed coordinator doctor`: what can be wrong at a coordinator, and how to fix it."""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
import tempfile
import time
from collections.abc import Callable
from datetime import datetime
from functools import partial
from importlib.metadata import requires, version

from common.check import Check, Task, examine, failed, passed, warned
from common.errors import MyoFedError
from common.health import SERVING, health_of
from common.identity import node_key
from server.network.admission import admitted
from server.network.certificates import key_fits, validity
from server.network.control import Control, health
from server.network.folder import ANYWHERE, CoordinatorFolder
from server.network.up import port_is_free

WARN_DAYS, WARN_AUTHORITY_DAYS = 30, 180
WARN_SECONDS, FAIL_SECONDS = 2.0, 5.0
WARN_BYTES, FAIL_BYTES = 5 << 30, 1 << 30
RENEW = "myofed coordinator renew FOLDER"
UP = "Start it: myofed coordinator up FOLDER"
NTP = "Set the clock by a time server (for example: timedatectl set-ntp true)."


def doctor(
    folder: CoordinatorFolder, tell: Callable[[Check], None] = lambda _: None
) -> list[Check]:
    """Make every check in turn; `tell` is told of each as it is made."""
    told = health(folder)
    return examine(
        [
            Task("flower", flower_check),
            Task("certificate", partial(certificate_check, folder)),
            Task("authority", partial(authority_check, folder)),
            Task("name (DNS)", partial(name_check, folder)),
            Task("port", partial(port_check, folder, told is not None)),
            Task("health (gRPC)", partial(health_check, folder, told is not None)),
            Task("clock", partial(clock_check, folder, told)),
            Task("disk", partial(disk_check, folder)),
            Task("database", partial(database_check, folder), seconds=60.0),
            Task("sites", partial(sites_check, folder, told is not None)),
        ],
        tell,
    )


def flower_check() -> Check:
    """Is Flower the version that this release was made for."""
    installed = version("flwr")
    wanted = next((one for one in requires("myofed") or () if one.startswith("flwr")), "flwr")
    pinned = wanted.partition(">=")[2].split(",")[0] or installed
    if installed.split(".")[:2] == pinned.split(".")[:2]:
        return passed("flower", f"flwr {installed} is the version this release was made for.")
    return failed(
        "flower",
        f"flwr {installed} is installed; this release was made for {pinned}.",
        "Install MyoFed with its constraints.txt, in an environment of its own.",
    )


def certificate_check(folder: CoordinatorFolder) -> Check:
    """Will sites accept the server's certificate, today and for a while."""
    name = "certificate"
    try:
        found = validity(folder.certificate, folder.authority)
    except MyoFedError as error:
        return failed(name, error.what, error.fix)
    wanted = list(folder.settings.hosts)
    if folder.settings.bind not in ANYWHERE:
        wanted.append(folder.settings.bind)
    lacking = [host for host in wanted if host not in found.names]
    if found.days_left <= 0:
        return failed(name, f"It expired on {found.ends:%Y-%m-%d}; no site can connect.", RENEW)
    if found.begins.timestamp() > time.time():
        return failed(name, f"It is valid from {found.begins:%Y-%m-%d %H:%M} on only.", NTP)
    if not found.signed or not key_fits(folder.certificate, folder.server_key):
        return failed(name, "It does not fit its key, or the authority did not sign it.", RENEW)
    if lacking:
        return failed(name, f"It does not bear the name {', '.join(lacking)}.", RENEW)
    left = f"It is good for {', '.join(found.names)}, for {found.days_left:.0f} more days."
    return warned(name, left, RENEW) if found.days_left < WARN_DAYS else passed(name, left)


def authority_check(folder: CoordinatorFolder) -> Check:
    """Is the authority's own certificate good for a while: a new one means new invitations."""
    name = "authority"
    try:
        found = validity(folder.authority, folder.authority)
    except MyoFedError as error:
        return failed(name, error.what, error.fix)
    if not found.signed or not key_fits(folder.authority, folder.authority_key):
        return failed(name, "Its key does not fit its certificate.", "Restore it from a backup.")
    left = f"It is good for {found.days_left:.0f} more days."
    again = "Make a new coordinator's folder, admit the sites there and invite them anew."
    if found.days_left <= 0:
        return failed(name, "It has expired; no site can connect.", again)
    return (
        passed(name, left) if found.days_left > WARN_AUTHORITY_DAYS else warned(name, left, again)
    )


def name_check(folder: CoordinatorFolder) -> Check:
    """Do the names that sites use lead anywhere, as seen from here."""
    for host in folder.settings.hosts:
        try:
            socket.getaddrinfo(host, folder.settings.port, type=socket.SOCK_STREAM)
        except OSError:
            return warned(
                "name (DNS)",
                f"{host} is not known here. Sites may know it all the same.",
                "Have it entered in the DNS, or give another name in settings.toml, then renew.",
            )
    return passed("name (DNS)", f"{', '.join(folder.settings.hosts)} can be resolved.")


def port_check(folder: CoordinatorFolder, is_up: bool) -> Check:
    """Does our own SuperLink answer on its port, or could it start there."""
    settings = folder.settings
    where = f"port {settings.port} of {settings.bind}"
    if is_up:
        return passed("port", f"Our SuperLink answers on {where}.")
    if port_is_free(settings.bind, settings.port):
        return warned("port", f"The coordinator is not up; {where} is free.", UP)
    return failed(
        "port",
        f"{where} is taken, and it is not our SuperLink that answers there.",
        "End the program that has it (ss -ltnp shows it), or change the port in settings.toml.",
    )


def health_check(folder: CoordinatorFolder, is_up: bool) -> Check:
    """Does the gRPC health service, which watchers ask, say that all is well."""
    name, where = "health (gRPC)", folder.health_address
    if not is_up:
        if port_is_free("127.0.0.1", folder.settings.health_port):
            return warned(name, f"The coordinator is not up; {where} is free.", UP)
        return failed(
            name,
            f"{where} is taken by another program.",
            "End it (ss -ltnp shows it), or change health_port in settings.toml.",
        )
    if health_of(where) != SERVING:
        return failed(
            name, f"{where} does not say that it serves.", "Look into logs/superlink.log."
        )
    return passed(name, f"{where} is serving.")


def clock_check(folder: CoordinatorFolder, told: datetime | None) -> Check:
    """Is the clock sane: sites whose time differs by some seconds are refused.

    Compared are the clock, the time that the disk gives a new file, the times of the files that
    exist, and the time that our own SuperLink says it is.
    """
    with tempfile.NamedTemporaryFile(dir=folder.path, prefix=".clock-") as file:
        os.utime(file.name)
        disk = os.stat(file.name).st_mtime - time.time()
    ahead = folder.settings_file.stat().st_mtime - time.time()
    server = 0.0 if told is None else told.timestamp() + 0.5 - time.time()
    if ahead > WARN_SECONDS:
        return failed(
            "clock", f"settings.toml was written {ahead:.0f} s in the future: the clock is wrong.",
            NTP,
        )  # fmt: skip
    for what, off in (("the disk's", disk), ("the SuperLink's", server)):
        # The SuperLink's whole seconds and the time of its answer are part of what is measured.
        if abs(off) > FAIL_SECONDS:
            return failed("clock", f"The clock and {what} differ by {abs(off):.0f} s.", NTP)
        if abs(off) > WARN_SECONDS + 1.0:
            return warned("clock", f"The clock and {what} differ by {abs(off):.0f} s.", NTP)
    said = f"{datetime.now().astimezone():%Y-%m-%d %H:%M:%S %Z}"
    return passed("clock", f"It is {said}; nothing here contradicts that.")


def disk_check(folder: CoordinatorFolder) -> Check:
    """Is there room for the answers of sites, checkpoints and the database."""
    free = shutil.disk_usage(folder.path).free
    found = f"{free / (1 << 30):.1f} GiB are free."
    fix = "Make room; finished runs in runs/ may be moved elsewhere."
    if free < FAIL_BYTES:
        return failed("disk", found, fix)
    return warned("disk", found, fix) if free < WARN_BYTES else passed("disk", found)


def database_check(folder: CoordinatorFolder) -> Check:
    """Is Flower's database whole."""
    name = "database"
    if not folder.database.exists():
        return passed(name, "There is none yet; the first start makes it.")
    try:
        with sqlite3.connect(f"file:{folder.database}?mode=ro", uri=True, timeout=5.0) as held:
            said = str(held.execute("PRAGMA quick_check(1)").fetchone()[0])
        held.close()
    except sqlite3.Error as error:
        said = str(error)
    if said == "ok":
        return passed(name, f"{folder.database.name} is whole.")
    return failed(
        name,
        f"{folder.database.name} is damaged ({said}).",
        "Stop the coordinator, move the file away and start: sites are registered anew from "
        "admitted/, and runs go on with 'resume'.",
    )


def sites_check(folder: CoordinatorFolder, is_up: bool) -> Check:
    """Are sites admitted, and does the SuperLink know their keys."""
    name = "sites"
    try:
        held = admitted(folder)
        if not held:
            return warned(
                name, "No site is admitted.", "myofed coordinator admit FOLDER NAME.join.json"
            )
        if not is_up:
            return passed(name, f"{len(held)} admitted: {', '.join(held)}.")
        with Control(folder) as control:
            known = {node.key: node for node in control.nodes() if node.registered}
    except MyoFedError as error:
        return failed(name, error.what, error.fix)
    keys = {one: node_key(request.public_key) for one, request in held.items()}
    unknown = [one for one, key in keys.items() if key not in known]
    if unknown:
        return failed(
            name,
            f"The SuperLink does not know the key of {', '.join(unknown)}.",
            "Is 'myofed coordinator up' at work? It registers them and says why it cannot.",
        )
    online = [one for one, key in keys.items() if known[key].online]
    return passed(name, f"{len(held)} admitted, online now: {', '.join(online) or 'none'}.")
