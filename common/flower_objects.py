"""Shorter waits for the parts of a message that are announced and not there yet.

Flower sends a message first and its parts after it. Who looks in between waits 1 s, then 2, then
4, which is most of a round trip that carries little. Both sides of the network have this wait: the
node for the questions, the coordinator for the answers.
"""

from __future__ import annotations

import importlib
from typing import Any

from common.flower_source import changed

FIRST_SECONDS, LONGEST_SECONDS = 0.05, 0.5

_UTILS = "flwr.supercore.inflatable.inflatable_utils"
READ = {
    f"{_UTILS}:pull_objects": "31bb2de46b45",
    f"{_UTILS}:pull_and_inflate_object_from_tree": "139811483a15",
}
"""What is changed, and the hash of the source of each as it was read."""


def quicken_objects() -> bool:
    """Look sooner for what is announced, and not less long; say whether this was done.

    Only default values are changed, and only in this process. Flower gives up after 500 looks or
    7200 s. Looking more often needs more looks for the same time, so that a large model on a slow
    line still arrives. Another Flower than the one whose source was read is left as it is.
    """
    if changed(READ):
        return False
    utils: Any = importlib.import_module(_UTILS)
    for function in (utils.pull_objects, utils.pull_and_inflate_object_from_tree):
        function.__kwdefaults__ |= {
            "initial_backoff": FIRST_SECONDS,
            "backoff_cap": LONGEST_SECONDS,
            "max_tries_per_object": None,
        }
    return True
