"""Checks as a person reads them: a table of check, verdict, what was found and how to fix it."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from common.check import Check, Verdict
from common.console import console

COLOURS = {Verdict.PASS: "green", Verdict.WARN: "yellow", Verdict.FAIL: "bold red"}


def show_checks(checks: Sequence[Check]) -> None:
    """Print the checks in their order, and how many ended how."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for column in ("check", "verdict", "found, and how to fix it"):
        table.add_column(column, no_wrap=column in {"check", "verdict"}, overflow="fold")
    for check in checks:
        found = Text(check.found)
        if check.fix:
            found.append(f"\n{check.fix}", style="italic")
        table.add_row(check.name, Text(check.verdict.value, COLOURS[check.verdict]), found)
    console.print(table)
    counts = (f"{sum(c.verdict is verdict for c in checks)} {verdict}" for verdict in Verdict)
    console.print(", ".join(counts))
