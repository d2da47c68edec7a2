"""The disk: is there room, and may the site write into its folders."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from client.rooms import NodeRoom
from common.check import Check, failed, passed, warned

NAME, KEY_NAME = "disk", "key"
FAIL_BYTES, WARN_BYTES = 1 << 30, 5 << 30
_ROOM = "Make room: the cache, the runs and the logs need it."


def disk_check(folders: Sequence[Path]) -> Check:
    """Write a file into each folder that is there, and look how much room is left."""
    there = [folder for folder in folders if folder.is_dir()]
    for folder in there:
        try:
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            return failed(
                NAME,
                f"{folder} cannot be written to ({error.strerror}).",
                "Give it to the user who runs the site.",
            )
    if not there:
        return failed(NAME, f"{folders[0]} is not there.", "Name the site's folder.")
    free = min(shutil.disk_usage(folder).free for folder in there)
    found = f"{free / (1 << 30):.1f} GiB are free."
    if free < FAIL_BYTES:
        return failed(NAME, found, _ROOM)
    return warned(NAME, found, _ROOM) if free < WARN_BYTES else passed(NAME, found)


def key_check(room: NodeRoom) -> Check:
    """Look whether the node's private key is there, and whether its owner alone can read it."""
    from common.errors import WrongUse
    from common.identity import fingerprint, public_half

    if not room.key.is_file():
        return failed(KEY_NAME, "This site has no key.", "myofed site init FOLDER --name NAME")
    try:
        shown = fingerprint(public_half(room.key))
    except WrongUse as error:
        return failed(KEY_NAME, error.what, error.fix)
    if room.key.stat().st_uid != os.getuid():
        return warned(
            KEY_NAME,
            f"{room.key} belongs to another user.",
            "Call the doctor as the user who runs the site.",
        )
    return passed(KEY_NAME, f"The key of this site's node is {shown}.")
