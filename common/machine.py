"""The machine of this process, as a methods section names it."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path
from typing import Any

MACHINE = r"([0-9A-Za-z][0-9A-Za-z ()@.,:+/_-]{0,99})?"
"""What a machine in words looks like: no name of a host, no path."""


def machine() -> dict[str, Any]:
    """Describe the machine of this process: system, processor, cores, memory in bytes."""
    found: dict[str, Any] = {
        "system": f"{platform.system()} {platform.release()}",
        "processor": _processor(),
        "cores": os.cpu_count(),
    }
    try:
        found["memory_bytes"] = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        found["memory_bytes"] = None
    return found


def machine_in_words() -> str:
    """Say processor, cores and memory, in at most 100 plain characters; fits `MACHINE`."""
    found = machine()
    words = f"{found['processor']}, {found['cores']} cores"
    if found["memory_bytes"]:
        words += f", {found['memory_bytes'] / 2**30:.0f} GiB"
    return re.sub(r"[^0-9A-Za-z ()@.,:+/_-]", "", words).strip()[-100:].lstrip(" ()@.,:+/_-")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()
