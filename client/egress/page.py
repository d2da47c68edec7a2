"""The page for the data protection officer: one file, no scripts, nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from html import escape

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from client.egress.page_style import STYLE
from client.egress.summary import RunSummary, Summary
from client.egress.verify import Verification
from client.egress.words import words_of
from common.identity import identity_line, line_fingerprint

MOST_FAULTS = 200
"""Faults that are listed; `myofed site ledger verify` lists all."""


def page(site: str, public_key: bytes, summary: Summary, verified: Verification) -> str:
    """Write the page of a site as HTML.

    Parameters
    ----------
    public_key
        Of the site's identity (32 bytes).
    """
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark">',
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "style-src 'unsafe-inline'\">",
        f"<title>What left {escape(site)}</title>",
        f"<style>\n{STYLE}</style></head><body><main>",
        f"<h1>What left {escape(site)}</h1>",
        *_overview(public_key, summary, verified),
        *_verified(verified),
        *_approvals(summary),
    ]
    for run in summary.runs:
        parts += _run(run)
    parts += [
        "<footer><p>Written from the site's ledger. The ledger holds the name, form, size and hash "
        "of each field that left, never its value; so no data of patients are on this page."
        "</p></footer>",
        "</main></body></html>",
    ]
    return "\n".join(parts) + "\n"


def _overview(public_key: bytes, summary: Summary, verified: Verification) -> Iterable[str]:
    line = identity_line(Ed25519PublicKey.from_public_bytes(public_key))
    head = verified.head
    facts = {
        "Written": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "Site's identity key": line_fingerprint(line),
        "Answers that left": f"{summary.answers:,}",
        "In all": size_words(summary.bytes),
        "Questions refused": f"{summary.refusals:,}",
        "Head of the ledger": f"line {head.number}, {head.hash}" if head else "none that counts",
    }
    yield "<dl>"
    for name, fact in facts.items():
        yield f"<dt>{escape(name)}</dt><dd>{escape(fact)}</dd>"
    yield "</dl>"
    yield (
        "<p>Compare the key with the one in the study's roster. Keep the head: a ledger that is "
        "later put back to an earlier state no longer has it.</p>"
    )


def _verified(verified: Verification) -> Iterable[str]:
    yield "<h2>Is the ledger whole?</h2>"
    if not verified.faults:
        yield (
            f'<p class="good">Yes. All {verified.lines:,} lines are as the site wrote them: none '
            "was edited, taken away, moved or put in.</p>"
        )
    else:
        number = len(verified.faults)
        yield f'<p class="bad">No. {number:,} {"fault" if number == 1 else "faults"}:</p><ul>'
        yield from (f"<li>{escape(str(fault))}</li>" for fault in verified.faults[:MOST_FAULTS])
        yield "</ul>"
    yield from (f"<p>{escape(note)}</p>" for note in verified.notes)


def _approvals(summary: Summary) -> Iterable[str]:
    if not summary.approvals:
        return
    yield "<h2>Studies that the site approved</h2>"
    said = {"approval": "approved", "revocation": "approval withdrawn"}
    rows = [[line.time, said[line.kind], line.study] for line in summary.approvals]
    yield from _table(["time (UTC)", "what", "study (fingerprint)"], rows)


def _run(run: RunSummary) -> Iterable[str]:
    yield f"<section><h2>Run {escape(run.run or 'unknown')}</h2>"
    yield f"<p>Study <code>{escape(run.study or 'unknown')}</code></p>"
    if run.rules:
        rows = [
            [
                use.rule,
                words_of(use.rule),
                f"{use.answers:,}",
                f"{use.fields:,}",
                size_words(use.bytes),
                f"{_minute(use.first)} – {_minute(use.last)}",
            ]
            for use in run.rules.values()
        ]
        titles = ["rule", "what left, in plain words", "answers", "fields", "size", "when (UTC)"]
        yield from _table(titles, rows)
    else:
        yield "<p>No answer left.</p>"
    if run.refusals:
        yield "<h3>Questions that were refused</h3>"
        refused = [
            [stage or "unknown", code, sentence, f"{count:,}"]
            for (stage, code, sentence), count in run.refusals.items()
        ]
        yield from _table(["stage", "code", "what was said", "times"], refused)
    yield "</section>"


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterable[str]:
    head = "".join(f'<th scope="col">{escape(title)}</th>' for title in titles)
    yield f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>'
    for row in rows:
        yield f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>"
    yield "</tbody></table></div>"


def _minute(time: str) -> str:
    return time[:16].replace("T", " ")


def size_words(count: int) -> str:
    """Write a number of bytes for a person.

    >>> size_words(999), size_words(4_812_000)
    ('999 bytes', '4.8 MB')
    """
    for unit, name in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if count >= unit:
            return f"{count / unit:.1f} {name}"
    return f"{count} {'byte' if count == 1 else 'bytes'}"
