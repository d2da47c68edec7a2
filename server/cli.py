"""`myofed coordinator`: set a coordinator up, admit and invite sites, keep it running."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from common.console import DONE, FAILED, console, show_json, table_of, to_person
from common.errors import MyoFedError
from server.dashboard.cli import dashboard
from server.run_cli import resume, run, stop, watch

app = typer.Typer(
    help="What a coordinator does: admit and invite sites, run studies.", no_args_is_help=True
)

Folder = Annotated[Path, typer.Argument(help="The coordinator's folder.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for a script.")]


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="Folder to make, for example coord.")],
    host: Annotated[
        list[str],
        typer.Option("--host", help="Name or address by which sites reach this machine; the first "
                     "one goes into invitations. Repeatable."),
    ],
    port: Annotated[
        int | None, typer.Option("--port", help="Port that sites connect to; 9443 by default.")
    ] = None,
    bind: Annotated[
        str | None, typer.Option("--bind", help="Address to listen on; all of them by default.")
    ] = None,
    health_port: Annotated[
        int | None,
        typer.Option("--health-port", help="Port of the gRPC health service, for this machine "
                     "only; 9444 by default."),
    ] = None,
) -> None:  # fmt: skip
    """Make a coordinator: its authority, its certificate, its secrets. Nothing is overwritten."""
    from pydantic import ValidationError

    from common.errors import WrongUse
    from server.network.folder import CoordinatorFolder, Settings

    given = {"port": port, "bind": bind, "health_port": health_port}
    try:
        settings = Settings.model_validate(
            {
                "hosts": tuple(host),
                **{key: value for key, value in given.items() if value is not None},
            }
        )
    except ValidationError as error:
        first = error.errors()[0]
        raise WrongUse(f"--{first['loc'][0]}: {first['msg']}.", "Correct it.") from None
    made = CoordinatorFolder.create(folder, settings)
    console.print(f"Made {folder}. Sites will connect to {made.address}.", soft_wrap=True)
    _show_authority(made.authority)
    console.print(
        f"Keep {folder / 'secrets'} to yourself, and a backup of it. Next: admit each site, invite "
        "it to a study, and start: myofed coordinator up",
        soft_wrap=True,
    )


@app.command()
def renew(folder: Folder) -> None:
    """Make a new server certificate: it has expired, or the hosts in settings.toml were changed.

    Sites need nothing new. A coordinator that is up serves it within seconds.
    """
    from server.network.certificates import validity
    from server.network.folder import CoordinatorFolder

    opened = CoordinatorFolder.open(folder)
    opened.renew()
    found = validity(opened.certificate, opened.authority)
    names = ", ".join(found.names)
    console.print(f"Good until {found.ends:%Y-%m-%d}, for {names}.", soft_wrap=True)


@app.command()
def admit(
    folder: Folder,
    request: Annotated[Path, typer.Argument(help="The site's join request, NAME.join.json.")],
    replace: Annotated[
        bool,
        typer.Option(
            "--replace", help="The site has a new key; its old one is withdrawn for good."
        ),
    ] = False,
) -> None:
    """Admit a site with its keys. Compare the fingerprints with the site by telephone."""
    from common.identity import JoinRequest
    from server.network.admission import admit as admit_site
    from server.network.control import Control, health
    from server.network.folder import CoordinatorFolder
    from server.network.nodes import register

    opened = CoordinatorFolder.open(folder)
    done = admit_site(opened, JoinRequest.load(request), replace)
    console.print(f"{done.name}: {'admitted' if done.new else 'was admitted already'}")
    for gone in done.replaced:
        console.print(f"withdrawn: {gone}", markup=False, soft_wrap=True)
    console.print(f"node key:  {done.fingerprint}", markup=False, soft_wrap=True)
    console.print(f"identity:  {done.identity}", markup=False, soft_wrap=True)
    console.print("Compare both by telephone with what 'myofed site init' showed at the site.")
    if health(opened) is None:
        console.print("The coordinator is not up; the site can connect when it is.")
        return
    with Control(opened) as control:
        register(opened, control)
    console.print("The coordinator is up: the site can connect now.")


@app.command()
def roster(
    folder: Folder,
    external: Annotated[
        list[str] | None,
        typer.Option("--external", help="Name of a site that never trains. Repeatable."),
    ] = None,
) -> None:
    """Print the admitted sites as a study's roster, with their keys, ready to paste into it."""
    from server.network.folder import CoordinatorFolder
    from server.network.roster_keys import roster_tables

    print(roster_tables(CoordinatorFolder.open(folder), external or ()), end="")


@app.command()
def invite(
    folder: Folder,
    study: Annotated[Path, typer.Argument(help="The study's protocol file.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="File to write; NAME.invitation.json by default.")
    ] = None,
) -> None:
    """Write the invitation to a study: where the coordinator is, how to know it, the protocol.

    It holds no secret, and is the same for every site.
    """
    from common.identity import Invitation, certificate_fingerprint
    from common.study_file import read_study
    from server.network.folder import CoordinatorFolder
    from server.network.roster_keys import require_keys

    opened, protocol = CoordinatorFolder.open(folder), read_study(study)
    require_keys(opened, protocol)
    authority = opened.authority.read_text(encoding="ascii")
    target = out or Path(f"{protocol.name}.invitation.json")
    Invitation(
        opened.address,
        authority,
        certificate_fingerprint(authority),
        protocol.canonical(),
        protocol.fingerprint,
    ).save(target)
    console.print(f"Wrote {target}: {protocol.name} at {opened.address}.", soft_wrap=True)
    _show_authority(opened.authority)
    console.print(f"study: {protocol.fingerprint}", markup=False, soft_wrap=True)


@app.command()
def up(folder: Folder) -> None:
    """Run the coordinator until Ctrl-C: sites connect to it, runs are started on it.

    Its processes are restarted when they end. Nothing is left running behind it.
    """
    from datetime import UTC, datetime

    from common.supervise import stop_signals
    from server.network.folder import CoordinatorFolder
    from server.network.runs import find, identities, standing
    from server.network.up import up as run_coordinator

    opened = CoordinatorFolder.open(folder)

    def tell(sentence: str) -> None:
        now = f"{datetime.now(UTC):%H:%M:%S}Z"
        to_person.print(f"{now} {sentence}", markup=False, soft_wrap=True)

    def came_up() -> None:
        tell(f"up: sites connect to {opened.address}. Ctrl-C ends it.")
        for identity in identities(opened):
            try:
                state = standing(find(opened, identity)).state
            except MyoFedError:
                continue
            if state == "interrupted":
                tell(f"interrupted: myofed coordinator resume {folder} {identity}")

    with stop_signals() as stop_event:
        run_coordinator(opened, stop_event, tell, came_up)
    tell("down")


@app.command()
def status(folder: Folder, as_json: AsJson = False) -> None:
    """Show whether the coordinator is up, which sites are online, and how its runs stand."""
    from server.network.folder import CoordinatorFolder
    from server.network.status import status_of

    found = status_of(CoordinatorFolder.open(folder))
    if as_json:
        show_json(found.as_dict())
        return
    console.print(f"SuperLink: {'up' if found.up else 'not up'}, {found.address}")
    there = {True: "online", False: "offline", None: "-"}
    sites = [[one.name, there[one.online], _time(one.seen)] for one in found.sites]
    console.print(table_of("Sites", ["site", "", "last seen"], sites))
    runs = [[one.identity, one.state, one.where, _time(one.since)] for one in found.runs]
    console.print(table_of("Runs", ["run", "", "at", "last event"], runs))
    for one in found.runs:
        if one.problem:
            what = f"{one.identity}: {' '.join(one.problem).strip()}"
            console.print(what, markup=False, soft_wrap=True)


@app.command()
def doctor(folder: Folder, as_json: AsJson = False) -> None:
    """Check everything that can be wrong at a coordinator, with the fix. Exit code 1 for a FAIL."""
    from common.check import Verdict, worst
    from common.check_table import show_checks
    from server.network.doctor import doctor as examine
    from server.network.folder import CoordinatorFolder

    checks = examine(CoordinatorFolder.open(folder))
    if as_json:
        show_json([check.as_dict() for check in checks])
    else:
        show_checks(checks)
    raise typer.Exit(FAILED if worst(checks) is Verdict.FAIL else DONE)


for command in (run, watch, stop, resume, dashboard):
    app.command()(command)


def _show_authority(certificate: Path) -> None:
    from common.identity import certificate_fingerprint

    shown = certificate_fingerprint(certificate.read_text(encoding="ascii"))
    console.print(f"authority: {shown}", markup=False, soft_wrap=True)


def _time(text: str) -> str:
    return text[:19].replace("T", " ") or "never"
