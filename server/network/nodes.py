"""Keeps Flower's register of nodes in step with the admitted keys, while the coordinator is up."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Event

from common.errors import MyoFedError
from common.identity import JoinRequest, node_key
from server.network.admission import admitted_keys
from server.network.control import KEY_IN_USE, Control, ControlRefused, SuperLinkDown, health
from server.network.folder import CoordinatorFolder
from server.network.guard import fingerprint_of

LOOK_SECONDS = 1.0
CONFIRM_SECONDS = 60.0
"""How often the register is compared although nothing has changed."""


def register(folder: CoordinatorFolder, control: Control) -> list[str]:
    """Register every admitted key that Flower does not know; withdraw those that were replaced.

    A key that is merely missing from the admitted ones is not withdrawn, for that is for ever: the
    guard keeps it out, and it may come back.

    Returns
    -------
    list of str
        What was done, in sentences.
    """
    done = []
    known = {node.key: node for node in control.nodes()}
    for key, name in admitted_keys(folder).items():
        if key in known:
            if not known[key].registered:
                done.append(
                    f"the key {fingerprint_of(key)} of {name} was withdrawn earlier and cannot "
                    "come back; the site must make a new one"
                )
            continue
        try:
            control.register(name, key)
            done.append(f"{name} may connect with the key {fingerprint_of(key)}")
        except ControlRefused as error:
            if error.reason != KEY_IN_USE:
                raise
            # Somebody else registered it in this very moment: that is as well.
    for path in folder.withdrawn.glob("*.json"):
        gone = JoinRequest.load(path)
        node = known.get(node_key(gone.public_key))
        if node is not None and node.registered:
            control.unregister(node.node)
            done.append(f"the earlier key of {gone.name} was withdrawn")
    return done


def keep_registered(
    folder: CoordinatorFolder,
    stop: Event,
    tell: Callable[[str], None],
    came_up: Callable[[], None],
) -> None:
    """Watch the folder and register what is new, until `stop` is set.

    Parameters
    ----------
    came_up
        Called when the SuperLink answers, the first time and after it was found not to.
    """
    seen: object = None
    compared = 0.0
    there = False
    said = ""
    while not stop.wait(0.0 if seen is None and not there else LOOK_SECONDS):
        files = [*folder.admitted.glob("*.json"), *folder.withdrawn.glob("*.json")]
        now_seen = sorted((str(file), file.stat().st_mtime_ns) for file in files)
        due = time.monotonic() - compared > CONFIRM_SECONDS
        if there and now_seen == seen and not due:
            continue
        if health(folder) is None:
            there = False
            stop.wait(LOOK_SECONDS)
            continue
        if not there:
            there = True
            came_up()
        try:
            with Control(folder) as control:
                for sentence in register(folder, control):
                    tell(sentence)
            seen, compared, said = now_seen, time.monotonic(), ""
        except SuperLinkDown:
            there = False
        except (MyoFedError, OSError) as error:
            # A broken file must neither end the coordinator nor fill its screen.
            if str(error) != said:
                said = str(error)
                tell(said)
