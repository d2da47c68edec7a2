"""`myofed coordinator dashboard` and `myofed watch`: see how a run goes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from common.console import show_json, to_person


def dashboard(
    folder: Annotated[
        Path | None, typer.Argument(help="The coordinator's folder, or that of a single run.")
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option("--run", help="Show this run's folder only, for example a simulation's."),
    ] = None,
    host: Annotated[
        str, typer.Option("--host", help="Address to listen on; this machine alone by default.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", min=1, max=65535, help="Port to listen on.")
    ] = 9445,
    tls: Annotated[
        bool, typer.Option("--tls", help="Serve over TLS with the coordinator's certificate.")
    ] = False,
    token_file: Annotated[
        Path | None,
        typer.Option("--token-file", help="File (mode 0600) with the token that visitors show."),
    ] = None,
) -> None:
    """Show runs on a web page that follows them, until Ctrl-C. It reads only.

    Beyond this machine it is served under TLS and with a token only.
    """
    from common.supervise import stop_signals
    from server.dashboard.runs import Runs
    from server.dashboard.serve import hosts_of, place_of, serve
    from server.dashboard.web import application

    runs = Runs.of(folder, run)
    place = place_of(host, port, token_file, tls, runs.folder)
    app = application(runs, hosts_of(place, runs.folder), place.token, place.secure)

    # What takes time at the first look is done before anybody waits for it.
    for identity in runs.identities()[:1]:
        runs.find(identity).body()  # type: ignore[union-attr]

    def came_up() -> None:
        to_person.print(f"{place.address}  Ctrl-C ends it.", markup=False, soft_wrap=True)

    with stop_signals() as stop:
        serve(app, place, stop, came_up)


def watch(
    run: Annotated[Path, typer.Argument(help="Folder of a run.")],
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one snapshot for a script, and leave.")
    ] = False,
) -> None:
    """Show in the terminal how a run goes: a simulation's or a coordinator's. It reads only.

    Ctrl-C leaves it; the run goes on.
    """
    from common.supervise import stop_signals
    from server.dashboard.runs import Runs
    from server.dashboard.terminal import show

    runs = Runs.of(None, run)
    live = runs.find(runs.identities()[0])
    assert live is not None
    if as_json:
        show_json(live.look().as_dict())
        return
    with stop_signals() as stop:
        show(live.look, stop)
