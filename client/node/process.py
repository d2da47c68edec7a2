"""`python -m client.node.process NODE_FOLDER --link DIR`: the node of a site, as one process.

It waits until the coordinator can be reached, then becomes Flower's SuperNode with the carrier
beside it. It ends when the connection cannot be kept; whoever supervises it starts it again, and
then it waits and says why.
"""

from __future__ import annotations

import argparse
import fcntl
import logging
import os
import secrets
import signal
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import IO

from client.node.preflight import await_coordinator, obstacle
from client.node.stock import arguments, environment, free_port
from client.node.words import CONNECTED, WAITING, Words
from client.rooms import NodeRoom, NodeSettings
from common.errors import MyoFedError, WrongUse
from common.memory import FOR_MESSAGES, keep_freed_memory

OWN, FLOWERS = "own", "flower"
PACE = "MYOFED_PACE"
"""Set to 'flower' to force Flower's own pace."""


def main(given: list[str] | None = None) -> int:
    """Run the node; the exit code is for the supervisor."""
    parser = argparse.ArgumentParser(prog="client.node.process", description=__doc__)
    parser.add_argument("folder", type=Path, help="the node's folder")
    parser.add_argument("--link", type=Path, required=True, help="folder of socket and token")
    parser.add_argument("--pace", choices=[OWN, FLOWERS], default=os.environ.get(PACE, OWN))
    parser.add_argument("--health", default="", help="host:port of the node's health service")
    options = parser.parse_args(given)
    keep_freed_memory(FOR_MESSAGES)
    room = NodeRoom(options.folder.absolute())
    words = Words(room)
    try:
        settings = room.joined()
        if options.health:
            settings = replace(settings, health=options.health)
        os.environ.update(environment(room, options.link.absolute()))
        with _only_one(room):
            words.say(WAITING, f"Looking for the coordinator at {settings.coordinator}.")
            await_coordinator(room, words)
            return _run(room, settings, words, options.pace)
    except MyoFedError as error:
        words.say(WAITING, str(error))
        return 2 if isinstance(error, WrongUse) else 1
    except KeyboardInterrupt:
        return 1


def _run(room: NodeRoom, settings: NodeSettings, words: Words, pace: str) -> int:
    """Become the SuperNode, at our own pace if this is the Flower that it was made for."""
    from client.node.checked_app import put_first
    from client.node.pace import differences

    differing = differences()
    if pace == OWN and not differing:
        return _run_resident(room, settings, words)
    why = "as asked" if not differing else f"because of: {', '.join(differing)}"
    words.say(
        CONNECTED,
        f"Running at Flower's own pace, {why}. A round trip takes longer, and the app that the "
        "coordinator sends is unpacked and run in this process's room, if it is that of the "
        "installed release.",
    )
    put_first(room.commands)
    command = Path(sys.executable).parent / "flower-supernode"
    given = arguments(room, settings, free_port())
    os.execv(command, [str(command), *given, "--isolation", "subprocess"])


def _run_resident(room: NodeRoom, settings: NodeSettings, words: Words) -> int:
    from flwr.supercore.logger import FLOWER_LOGGER, update_console_handler
    from flwr.supernode.cli.flower_supernode import flower_supernode

    from client.app import app
    from client.node.carrier import Carrier
    from client.node.pace import quicken
    from client.node.runtime import states_of_this_process

    _log_to_stderr()
    update_console_handler(timestamps=True, colored=False)
    carrier = Carrier(states_of_this_process(), app, broken=_end)
    threading.excepthook = lambda what: _lost(words, what)
    connected = f"Connected to the coordinator at {settings.coordinator}."
    quicken(idle=lambda: words.say(CONNECTED, connected), awaiting=carrier.wait)
    FLOWER_LOGGER.addHandler(_Connection(room, words, connected))
    carrier.start()
    given = arguments(room, settings, free_port())
    # Over HTTP nobody can claim a question: the secret that is asked for is known to nobody.
    lost = _readable_once(secrets.token_bytes(32))
    given += ["--isolation", "process", "--superexec-auth-secret-file", lost]
    sys.argv = ["flower-supernode", *given]
    code: object = 1
    try:
        flower_supernode()
    except SystemExit as end:
        code = end.code
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    # Flower's Runtime API runs in a thread that would keep a process alive whose loop has ended.
    os._exit(code if isinstance(code, int) else 1)


def _log_to_stderr() -> None:
    """Show what our own code logs; the loggers of the libraries tell every request."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log = logging.getLogger("myofed")
    log.addHandler(handler)
    log.setLevel(logging.INFO)


class _Connection(logging.Handler):
    """Puts into words how it stands with the coordinator, from what the SuperNode logs.

    That says itself only that it lost the coordinator, or found it.
    """

    def __init__(self, room: NodeRoom, words: Words, connected: str) -> None:
        super().__init__(logging.INFO)
        self._room, self._words, self._connected = room, words, connected
        self._looking = threading.Lock()

    def emit(self, record: logging.LogRecord) -> None:
        """Say that it is there, or look for the reason, beside the SuperNode's own tries."""
        told = str(record.msg)
        if told.startswith(("SuperNode ID", "Connection successful")):
            self._words.say(CONNECTED, self._connected)
        elif told.startswith("Connection attempt failed, ") and self._looking.acquire(False):
            threading.Thread(target=self._look, daemon=True).start()

    def _look(self) -> None:
        try:
            reason = obstacle(self._room)
            if reason is not None:
                self._words.say(WAITING, reason)
        except MyoFedError as error:
            self._words.say(WAITING, str(error))
        finally:
            self._looking.release()


def _lost(words: Words, what: threading.ExceptHookArgs) -> None:
    """End the process after the end of a thread: a SuperNode without heartbeats looks alive only.

    The SuperLink's answer to a heartbeat of a node that it does not know ends Flower's thread.
    """
    threading.__excepthook__(what)
    words.say(WAITING, "The connection to the coordinator was lost; it is made anew.")
    _end()


def _end() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def _readable_once(secret: bytes) -> str:
    """Give a path from which the secret can be read once, by this process: it is on no disk."""
    reading, writing = os.pipe()
    os.write(writing, secret)
    os.close(writing)
    return f"/dev/fd/{reading}"


def _only_one(room: NodeRoom) -> IO[str]:
    """Lock the folder for as long as this process lives; two nodes with one key disturb each other.

    Raises
    ------
    WrongUse
        Another process runs with this folder.
    """
    file = room.lock.open("w", encoding="ascii")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise WrongUse(
            f"Another node runs with the folder {room.path}.", "Stop that one first."
        ) from None
    return file


if __name__ == "__main__":
    sys.exit(main())
