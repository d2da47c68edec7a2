"""`myofed site budget`: how much of each patient's privacy has been spent, and on what."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from common.console import console, show_json, show_wide, table_of


def budget(
    folder: Annotated[Path, typer.Argument(help="The site's folder, for example sites/tufts.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for a script.")] = False,
) -> None:
    """Show what was released with noise about this site's patients, and what it came to.

    Epsilon is that of the patients who are worst off, after each release and all before it, at the
    delta of the last study. A simulation over this folder spends from the same budget.
    """
    from client.private.spending import kept_budget

    held = kept_budget(folder)
    if as_json:
        show_json(held)
        return
    if not held["entries"]:
        console.print("Nothing was released with noise about this site's patients.")
        return
    rows = [
        [one["scope"][:12], one["what"], f"{one['noise_multiplier']:.3g}", f"{one['epsilon']:.3f}"]
        for one in held["entries"]
    ]
    show_wide(table_of("Privacy spent", ["study", "released", "noise", "epsilon"], rows))
    console.print(
        f"Spent: epsilon {held['spent']:.3g} at delta {held['delta']:g}; the last study allows "
        f"{held['epsilon']:g}.",
        soft_wrap=True,
    )
