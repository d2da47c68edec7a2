"""`myofed site init`, `join`, `up`, `doctor`: a hospital's way into a study."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from client.rooms import Part
from common.check import Verdict, worst
from common.console import FAILED, console, progress_bar, show_json

if TYPE_CHECKING:
    from client.membership import Joined

Folder = Annotated[Path, typer.Argument(help="The site's folder, for example sites/tufts.")]
Only = Annotated[
    str, typer.Option("--only", help="'worker' or 'node': one of the two, where they run apart.")
]
LinkFolder = Annotated[
    Path | None,
    typer.Option(
        "--link",
        help="Folder of the socket between the two; a short path. By default FOLDER/link.",
    ),
]


def init(
    folder: Folder,
    name: Annotated[
        str, typer.Option("--name", help="The site's name in the roster; by default the cohort's.")
    ] = "",
    request: Annotated[
        Path | None,
        typer.Option("--request", help="Join request to write; by default FOLDER/NAME.join.json."),
    ] = None,
) -> None:
    """Make this site's two key pairs and the join request for the coordinator.

    With the key in FOLDER/node the site connects; with FOLDER/identity.key it signs what it
    approves and hides what it says. Neither ever leaves this computer. Import the cohort into the
    same folder, before or after.
    """
    from client.membership import initialise

    made = initialise(folder, name, request)
    console.print(f"{made.name}: join request written to {made.request}", soft_wrap=True)
    for label, shown, is_new in (
        ("node key: ", made.key_fingerprint, made.key_is_new),
        ("identity: ", made.identity_fingerprint, made.identity_is_new),
    ):
        kept = "" if is_new else "  (was there already and is kept)"
        console.print(f"{label} {shown}{kept}", markup=False, soft_wrap=True)
    console.print(
        "Next: send the file to the coordinator and compare both fingerprints by telephone. It "
        f"sends back an invitation: myofed site join {folder} invitation.json",
        soft_wrap=True,
    )
    if not made.has_cohort:
        console.print(
            f"There is no cohort in {folder} yet: myofed site import table ... --out {folder} "
            f"--name {made.name}",
            soft_wrap=True,
        )


def join(
    folder: Folder,
    invitation: Annotated[Path, typer.Argument(help="The coordinator's invitation (JSON).")],
    replace: Annotated[
        bool, typer.Option("--replace", help="Trust a new certificate authority from now on.")
    ] = False,
    coordinator_health: Annotated[
        str,
        typer.Option(
            "--coordinator-health",
            help="host:port of the coordinator's gRPC health service, if it is open to sites.",
        ),
    ] = "",
    health: Annotated[
        str,
        typer.Option("--health", help="host:port where this node's own health service listens."),
    ] = "",
    no_approve: Annotated[
        bool,
        typer.Option("--no-approve", help="Only join; approve later: myofed site approve."),
    ] = False,
) -> None:
    """Join the coordinator of an invitation, and approve its study.

    Shows the study and what to compare by telephone. Joining again adds a study, or brings a new
    address.
    """
    from client.membership import join as join_site

    done = join_site(
        folder,
        invitation,
        replace,
        coordinator_health,
        health,
        show=_show_joined,
        approving=not no_approve,
    )
    if done.replaced:
        console.print("The earlier coordinator's authority is no longer trusted.")
    number = len(done.approved)
    console.print(f"This site has approved {number} {'study' if number == 1 else 'studies'}.")
    if no_approve:
        console.print(f"To approve this one: myofed site approve {folder} {invitation}",
                      soft_wrap=True)  # fmt: skip
    console.print(
        f"Next: myofed site doctor {folder}, then: myofed site up {folder}", soft_wrap=True
    )


def up(
    folder: Folder,
    only: Only = "",
    link: LinkFolder = None,
    health: Annotated[
        str,
        typer.Option(
            "--health", help="host:port of the node's own gRPC health service, for containers."
        ),
    ] = "",
) -> None:
    """Run the site: its worker and its node, restarted when they end. Ctrl-C stops both.

    The node connects to the coordinator and tries again for as long as it must. Logs:
    FOLDER/site.log, FOLDER/worker.log and FOLDER/node/node.log.
    """
    from datetime import datetime

    from client.site_up import up as run_site
    from common.supervise import stop_signals

    def tell(words: str) -> None:
        console.print(f"{datetime.now():%H:%M:%S} {words}", markup=False, soft_wrap=True)

    with stop_signals() as stop:
        run_site(folder, stop, tell, Part.of(only), link, health)
    console.print("Stopped. Nothing is left running.")


def doctor(
    folder: Folder,
    only: Annotated[
        str, typer.Option("--only", help="'node': without the checks of the data.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for a script.")] = False,
) -> None:
    """Check everything between this site and its coordinator, and say how to fix what is wrong.

    The exit code is 1 if any check failed. Nothing is sent but what a connection needs.
    """
    from client.doctor.plan import examine_site
    from common.check_table import show_checks

    with_data = Part.of(only) is not Part.NODE
    if with_data:
        with progress_bar("cohort") as progress:
            checks = examine_site(folder, progress=progress)
    else:
        checks = examine_site(folder, with_data=False)
    if as_json:
        show_json([check.as_dict() for check in checks])
    else:
        show_checks(checks)
    if worst(checks) is Verdict.FAIL:
        raise typer.Exit(FAILED)


def _show_joined(joined: Joined) -> None:
    from client.approval_cli import show_study

    study = joined.study
    show_study(study, joined.place)
    console.print("Compare these with the coordinator by telephone:")
    console.print(f"  coordinator   {joined.address}", soft_wrap=True)
    console.print(f"  its authority {joined.ca_fingerprint}", soft_wrap=True)
    console.print(
        f"  study         {study.name}, this site's role: {joined.place.role}", soft_wrap=True
    )
    console.print(f"  fingerprint   {study.fingerprint}", soft_wrap=True)
