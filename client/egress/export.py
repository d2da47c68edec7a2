"""The ledger for the data protection officer: a table of every field that left, or a page to read.

Both hold what the ledger holds: names, forms, sizes and hashes of fields, never a value. So no data
of patients can be in them.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path

from client.egress.line import Line
from client.egress.page import page
from client.egress.reading import lines_of
from client.egress.summary import summary_of
from client.egress.verify import examine
from common.errors import WrongUse
from common.files import replacing

COLUMNS = (
    "number", "time", "kind", "study", "run", "stage", "exchange", "sites", "rule", "field",
    "dtype", "shape", "bytes", "sha256",
)  # fmt: skip

_FORMULA = ("=", "+", "-", "@")


def export(site: Path, out: Path, public_key: bytes) -> None:
    """Write a site's ledger (that of its folder) as ``.csv`` or as ``.html``.

    Raises
    ------
    WrongUse
        There is no ledger, or `out` has another ending.
    """
    if out.suffix not in (".csv", ".html"):
        raise WrongUse(f"{out} is neither .csv nor .html.", "Give the file one of these endings.")
    lines = lines_of(site)
    if out.suffix == ".csv":
        with replacing(out) as part, part.open("w", encoding="utf-8", newline="") as file:
            table = csv.writer(file)
            table.writerow(COLUMNS)
            table.writerows(rows_of(lines))
        return
    text = page(site.resolve().name, public_key, summary_of(lines), examine(site, public_key))
    with replacing(out) as part:
        part.write_text(text, encoding="utf-8")


def rows_of(lines: Iterable[Line]) -> Iterator[list[str]]:
    """Give one row for each field that left, see `COLUMNS`."""
    for line in lines:
        asked = [line.study, line.run, line.stage, line.exchange, " ".join(line.sites), line.rule]
        for one in line.fields:
            shape = "x".join(map(str, one.shape))
            own = [one.name, one.dtype, shape, str(one.bytes), one.sha256]
            yield [_cell(text) for text in (str(line.number), line.time, line.kind, *asked, *own)]


def _cell(text: str) -> str:
    """Keep a spreadsheet from taking a text for a formula: it may come from a stranger."""
    return f"'{text}" if text.startswith(_FORMULA) else text
