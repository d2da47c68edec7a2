"""A worker without a site: echoes, and stays in a question until its marks say so."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, os.getcwd())

from flwr.app import ConfigRecord, RecordDict
from link_samples import peak_bytes

from client.link.service import LinkServer

link, marks = Path(sys.argv[1]), Path(sys.argv[2])


def answer(stage: str, record: RecordDict) -> RecordDict:
    if stage == "stay":
        with (marks / "asked").open("a") as file:
            file.write(f"{os.getpid()}\n")
        while not (marks / "go").exists():
            time.sleep(0.01)
    if stage == "memory":
        return RecordDict({"fields": ConfigRecord({"peak": peak_bytes()})})
    return record


server = LinkServer(answer, link)
server.start()
threading.Event().wait()
