"""`myofed site approve`, `revoke`, `approvals`: what a hospital agrees to, and no longer."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from common.console import console, show_json

if TYPE_CHECKING:
    from client.approval_words import Lines
    from client.approved import Standing
    from common.study import Study
    from common.study_tables import Site

Folder = Annotated[Path, typer.Argument(help="The site's folder, for example sites/tufts.")]
_SHORTEST = 8
"""Digits of a fingerprint that stand for all of it."""


def approve(
    folder: Folder,
    study: Annotated[
        Path, typer.Argument(help="The study's protocol file, or the coordinator's invitation.")
    ],
    yes: Annotated[
        bool, typer.Option("--yes", help="Approve without asking, for a script.")
    ] = False,
) -> None:
    """Show what a study will do and what will leave this site; approve it if you agree.

    The approval is signed with the site's identity key and counts from the next question on.
    """
    from client.approval_place import name_of_site, own_place
    from client.approved import approve as sign

    protocol = _read(study)
    show_study(protocol, own_place(folder, name_of_site(folder), protocol))
    if not yes and not typer.confirm("Does this site approve the study?"):
        console.print("Not approved. Nothing was changed.")
        raise typer.Exit(1)
    sign(folder, protocol)
    console.print(f"Approved: {protocol.name} ({protocol.fingerprint[:12]}).", soft_wrap=True)
    console.print(
        f"To withdraw it: myofed site revoke {folder} {protocol.fingerprint[:12]}", soft_wrap=True
    )


def revoke(
    folder: Folder,
    study: Annotated[
        str,
        typer.Argument(help="Fingerprint, its first eight digits or more, or the study's file."),
    ],
) -> None:
    """Withdraw the approval of a study: the worker refuses from the next question on.

    What was answered before is not called back. The withdrawal is kept, so that the old approval
    cannot be put back; you may approve the study anew.
    """
    from client.approved import revoke as withdraw

    fingerprint = _fingerprint(folder, study)
    if withdraw(folder, fingerprint):
        console.print(
            f"Withdrawn: {fingerprint[:12]}. The worker refuses its questions from now on.",
            soft_wrap=True,
        )
    else:
        console.print(f"{fingerprint[:12]} was withdrawn already.")


def approvals(
    folder: Folder,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for a script.")] = False,
) -> None:
    """List the studies that this site approved or withdrew, and what is wrong with any of them."""
    from client.approved import approvals as standings

    found = standings(folder)
    if as_json:
        show_json([_as_dict(one) for one in found])
        return
    if not found:
        console.print("This site has approved no study.")
    for one in found:
        since = f" since {one.since:%Y-%m-%d %H:%M:%S} UTC" if one.since else ""
        name = one.name or "?"
        line = f"{one.fingerprint[:12]}  {name}  {_state(one)}{since}"
        console.print(line, markup=False, soft_wrap=True)
        if one.problem is not None and not since:
            console.print(f"  {one.problem}", markup=False, soft_wrap=True)
        for site, derived in _without(folder, one).items():
            console.print(f"  {derived[:12]}  without {site}", markup=False, soft_wrap=True)


def show_study(study: Study, own: Site) -> None:
    """Print what a study will do, and what will leave the site that `own` is in its roster."""
    from client.approval_words import note_on_sums, what_leaves, what_runs

    console.print("What will run:", markup=False)
    _show(what_runs(study, own))
    console.print("What will leave this site:", markup=False)
    _show(what_leaves(study, own))
    for line in textwrap.wrap(note_on_sums(study), 98):
        console.print(line, markup=False, soft_wrap=True)
    console.print()


def _show(lines: Lines) -> None:
    for label, text in lines:
        first, *more = textwrap.wrap(text, 82, break_long_words=False, break_on_hyphens=False)
        console.print(f"  {label:<14}{first}", markup=False, soft_wrap=True)
        for line in more:
            console.print(f"{'':<16}{line}", markup=False, soft_wrap=True)


def _read(path: Path) -> Study:
    """Read a protocol file, or the study of an invitation."""
    from client.membership import study_of
    from common.identity import Invitation
    from common.study_file import read_study

    return study_of(Invitation.load(path)) if path.suffix == ".json" else read_study(path)


def _fingerprint(folder: Path, text: str) -> str:
    """Find which study a person means."""
    from client.approved import held
    from common.errors import WrongUse

    if Path(text).is_file():
        return _read(Path(text)).fingerprint
    known = held(folder)
    fits = [name for name in known if len(text) >= _SHORTEST and name.startswith(text.lower())]
    if len(fits) == 1:
        return fits[0]
    shown = ", ".join(name[:16] for name in known) or "none"
    raise WrongUse(
        f"{text!r} is {'several studies' if fits else 'no study'} of this site. Studies: {shown}.",
        f"Give a fingerprint, {_SHORTEST} digits of it or more, or the study's file.",
    )


def _state(standing: Standing) -> str:
    from client.approved import ApprovalWithdrawn

    if standing.problem is None:
        return "approved"
    return "withdrawn" if isinstance(standing.problem, ApprovalWithdrawn) else "not approved"


def _as_dict(standing: Standing) -> dict[str, str]:
    return {
        "fingerprint": standing.fingerprint,
        "study": standing.name,
        "state": _state(standing),
        "since": standing.since.isoformat(timespec="microseconds") if standing.since else "",
        "problem": str(standing.problem) if standing.problem else "",
    }


def _without(folder: Path, standing: Standing) -> dict[str, str]:
    """Give the fingerprints of what is approved with a study, by the site that is left out."""
    from client.approved import held_study
    from common.leave_one_out import family

    if standing.problem is not None:
        return {}
    study = held_study(folder, standing.fingerprint)
    return dict(zip(study.training_sites, family(study), strict=False))
