"""The SuperLink behind its guard: `python -m server.network.superlink FOLDER`.

Flower's own command would serve its Control interface to everybody. So its application is made
here, by the function that the command calls, and served inside the guard. If a new version of
Flower makes it otherwise, this fails to start rather than start unguarded.
"""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path
from typing import Any

from common.memory import FOR_MESSAGES, keep_freed_memory
from server.network.admission import AdmittedNow
from server.network.environment import quiet_flower
from server.network.folder import CoordinatorFolder
from server.network.logs import log_to_stderr

GRACE_SECONDS = 5


def flower_application(folder: CoordinatorFolder) -> Any:
    """Make Flower's application: TLS, node authentication, the database, gRPC health."""
    from flwr.common.constant import ISOLATION_MODE_PROCESS, TRANSPORT_TYPE_GRPC_RERE
    from flwr.superlink.cli.flower_superlink import SuperLinkLifespan
    from flwr.superlink.config_loader import SuperLinkLifespanConfig, load_control_authn_plugin
    from flwr.superlink.main import create_app

    files = (folder.authority, folder.certificate, folder.server_key)
    authority, certificate, key = (file.read_bytes() for file in files)
    config = SuperLinkLifespanConfig(
        control_address=folder.local_address,
        health_server_address=folder.health_address,
        host=folder.settings.bind,
        port=folder.settings.port,
        insecure=False,
        certificates=(authority, certificate, key),
        superexec_auth_secret=folder.superexec_secret.read_bytes(),
        authn_plugin=load_control_authn_plugin(),
        event_log_plugin=None,
        fleet_event_log_plugin=None,
        enable_event_log=False,
        artifact_provider=None,
        enable_supernode_auth=True,
        fleet_api_type=TRANSPORT_TYPE_GRPC_RERE,
        fleet_api_address=None,
        simulation=False,
        ssl_ca_certfile=str(folder.authority),
        ssl_certfile=str(folder.certificate),
        ssl_keyfile=str(folder.server_key),
        database=str(folder.database),
        isolation=ISOLATION_MODE_PROCESS,
        runtime_dependency_install=False,
    )
    return create_app(config, SuperLinkLifespan)


def serve(folder: CoordinatorFolder) -> None:
    """Serve until the process is asked to end."""
    import uvicorn

    from server.network.account import Account
    from server.network.guard import Guard
    from server.network.in_turn import InTurn
    from server.network.lighter import lighten
    from server.network.parts import keep_parts
    from server.network.seldom import look_seldom
    from server.network.waiting import Waiting

    look_seldom()
    keep_parts(folder.parts)
    application = flower_application(folder)
    lighten(application)
    log_to_stderr()

    def ending() -> bool:
        return server.should_exit

    in_turn = InTurn(application, folder.database.parent)
    waiting = Waiting(in_turn, Account(folder.account), ending)
    guard = Guard(waiting, folder.token(), AdmittedNow(folder), folder.local_host)
    config = uvicorn.Config(
        guard,
        host=folder.settings.bind,
        port=folder.settings.port,
        ssl_certfile=str(folder.certificate),
        ssl_keyfile=str(folder.server_key),
        workers=1,
        lifespan="on",
        # The guard must see who really connects, not what a header says of it.
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_config=None,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    server = uvicorn.Server(config)
    # What was loaded until now stays: the collector of garbage need not look through it each time.
    gc.collect()
    gc.freeze()
    server.run()
    if not server.started:
        sys.exit("The SuperLink could not start.")


def main() -> None:
    """Serve the coordinator whose folder is the only argument."""
    os.umask(0o077)
    keep_freed_memory(FOR_MESSAGES)
    folder = CoordinatorFolder.open(Path(sys.argv[1]))
    quiet_flower(folder)
    serve(folder)


if __name__ == "__main__":
    main()
