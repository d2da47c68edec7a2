"""Flower's SuperExec, which starts a ServerApp for each run: `python -m server.network.superexec`.

It is a process of its own and no child of the SuperLink. So a run outlives a restart of the
SuperLink, and the SuperLink asks for a secret before it hands out a run.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from server.network.environment import quiet_flower
from server.network.folder import CoordinatorFolder
from server.network.logs import log_to_stderr


def main() -> None:
    """Start ServerApps of the coordinator whose folder is the only argument."""
    os.umask(0o077)
    folder = CoordinatorFolder.open(Path(sys.argv[1]))
    quiet_flower(folder)
    from flwr.supercore.superexec.run_superexec import run_superexec
    from flwr.supercore.utils import disable_process_dumping

    log_to_stderr()
    disable_process_dumping(strict=False)
    run_superexec(
        runtime_api_address=folder.local_address,
        insecure=False,
        root_certificates_path=str(folder.authority),
        superexec_auth_secret=folder.superexec_secret.read_bytes(),
        runtime_dependency_install=False,
    )


if __name__ == "__main__":
    main()
