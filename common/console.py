"""What a person sees: tables, progress on anything slow, and one clear sentence for an error."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from common.errors import MyoFedError, WrongUse

ANY_WIDTH = 10_000
# Without emoji: in a fingerprint, ":AB:" and ":CD:" would become pictures.
console = Console(highlight=False, emoji=False)
to_person = Console(stderr=True, highlight=False, emoji=False)

DONE, FAILED, WRONG_USE = 0, 1, 2


def exit_code(error: MyoFedError) -> int:
    """Give 2 for a wrong use of the command, 1 for any other failure."""
    return WRONG_USE if isinstance(error, WrongUse) else FAILED


def show_error(error: MyoFedError) -> None:
    """Say what was found and what to do, and what was noted with it."""
    to_person.print(f"[bold red]{error.code}[/]: ", end="")
    to_person.print(error.what, markup=False, soft_wrap=True)
    if error.fix:
        to_person.print(f"What to do: {error.fix}", markup=False, soft_wrap=True)
    for note in getattr(error, "__notes__", ()):
        to_person.print(note, markup=False, soft_wrap=True)


@contextmanager
def progress_bar(title: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar for `(done, total)`; on no terminal, a line at the end."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=to_person) as bar:
        task = bar.add_task(title, total=None)

        def show(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield show


def show_json(content: Any) -> None:
    """Print JSON for a script to read."""
    print(json.dumps(content, indent=2))


def show_wide(table: Table) -> None:
    """Print a table as wide as it must be, also into a pipe: a cut name would be of no use."""
    needed = Console(width=ANY_WIDTH).measure(table).maximum
    wide = Console(highlight=False, emoji=False, width=max(console.width, needed))
    wide.print(table)


def table_of(title: str, columns: list[str], rows: list[list[str]]) -> Table:
    """Lay rows out as a table; numbers are texts already."""
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number < 2 else "right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    return table
