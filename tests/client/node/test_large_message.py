"""A message of 500 MB to a node's worker and back, over every link between."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pytest
from flwr.app import Array, ArrayRecord, RecordDict
from loopback_superlink import SuperLink, ask, online
from loopback_tls import Authority, until
from node_samples import short_folder, sites

pytestmark = [pytest.mark.slow, pytest.mark.soak]

BYTES = 500 * 10**6


def test_a_message_of_500_megabytes_comes_back_as_it_went() -> None:
    block = os.urandom(10**6)
    data = b"".join(number.to_bytes(4, "big") + block[4:] for number in range(BYTES // 10**6))
    array = Array(dtype="uint8", shape=(len(data),), stype="safetensors", data=data)
    sent = RecordDict({"arrays": ArrayRecord({"safetensors": array})})
    with short_folder() as folder:
        superlink = SuperLink(folder / "superlink", Authority(folder / "authority")).start()
        try:
            with sites(superlink, ["alpha"]) as [site], site.up():
                until(site.connected, 60)
                with superlink.run() as grid:
                    until(lambda: online(grid, [site.number]))
                    begun = time.monotonic()
                    answer = ask(grid, [site.number], sent, seconds=300)[site.number]
                    print(f"{BYTES / 1e6:.0f} MB and back: {time.monotonic() - begun:.0f} s")
            assert not answer.has_error()
            back = answer.content["arrays"]["safetensors"].data
            assert hashlib.sha256(back).digest() == hashlib.sha256(data).digest()
            shown = Path(f"/proc/{os.getpid()}/status").read_text()
            print(next(line for line in shown.splitlines() if line.startswith("VmHWM")))
        finally:
            superlink.stop()
