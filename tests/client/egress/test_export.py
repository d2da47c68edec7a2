"""What the data protection officer gets: a table of every field, and a page to read."""

from __future__ import annotations

import csv
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from ledger_samples import (
    KEY,
    PUBLIC,
    STUDY,
    answer,
    field,
    file_of,
    fill,
    refusal,
    without_waiting,
)

from client.egress.entry import Asked, Entry
from client.egress.export import COLUMNS, export
from client.egress.ledger import Ledger
from client.egress.page import size_words
from client.egress.reading import lines_of
from client.egress.summary import summary_of
from client.egress.words import words_of
from common.errors import WrongUse

EVIL = "</td><script>alert(1)</script>"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    without_waiting(monkeypatch)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    folder = tmp_path / "tufts"
    ledger = Ledger(folder, KEY)
    ledger.record(Entry.approval(STUDY))
    for number in range(1, 4):
        ledger.record(answer(number, masked=True))
    ledger.record(answer(1, run="run-2"))
    ledger.record(refusal(run="run-2"))
    ledger.record(refusal(run="run-2"))
    ledger.record(Entry.revocation(STUDY))
    return folder


class Page(HTMLParser):
    """Tags, attributes and texts of a page; every element must be closed."""

    VOID = frozenset({"meta"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.texts.append(data.strip())


def written(site: Path, name: str = "out.html") -> str:
    out = site.parent / name
    export(site, out, PUBLIC)
    return out.read_text(encoding="utf-8")


def test_the_summary_counts_by_study_run_and_rule(site: Path) -> None:
    found = summary_of(lines_of(site))
    assert [(run.study, run.run) for run in found.runs] == [(STUDY, "run-1"), (STUDY, "run-2")]
    first = found.runs[0].rules["train/masked"]
    assert (first.answers, first.fields, first.bytes) == (3, 6, 72)
    assert first.first <= first.last
    assert list(found.runs[1].rules) == ["train"]
    assert list(found.runs[1].refusals.values()) == [2]
    assert (found.answers, found.bytes, found.refusals) == (4, 96, 2)
    assert [line.kind for line in found.approvals] == ["approval", "revocation"]


def test_the_table_has_one_row_a_field(site: Path) -> None:
    rows = list(csv.DictReader(written(site, "out.csv").splitlines()))
    # 4 answers of 2 fields, 2 refusals of 1; approvals have none.
    assert len(rows) == 10
    assert tuple(rows[0]) == COLUMNS
    first = rows[0] | {"time": ""}
    assert first == {
        "number": "2",
        "time": "",
        "kind": "answer",
        "study": STUDY,
        "run": "run-1",
        "stage": "train",
        "exchange": "train.0.1",
        "sites": "a b c",
        "rule": "train/masked",
        "field": "loss",
        "dtype": "float64",
        "shape": "1",
        "bytes": "8",
        "sha256": field("loss").sha256,
    }
    assert [row["kind"] for row in rows].count("refusal") == 2


def test_a_spreadsheet_takes_no_text_for_a_formula(tmp_path: Path) -> None:
    asked = Asked("=1+1", "+run", "-rows", "@x")
    Ledger(tmp_path, KEY).record(Entry("refusal", asked, "refusal", (field("code"),)))
    out = tmp_path / "out.csv"
    export(tmp_path, out, PUBLIC)
    row = next(csv.DictReader(out.read_text().splitlines()))
    assert [row[name] for name in ("study", "run", "stage", "exchange")] == [
        "'=1+1", "'+run", "'-rows", "'@x",
    ]  # fmt: skip


def test_the_page_says_what_left_and_that_the_ledger_is_whole(site: Path) -> None:
    text = written(site)
    page = Page(text)
    said = " ".join(page.texts)
    for words in (
        "What left tufts",
        "Run run-1",
        "Run run-2",
        words_of("train"),
        words_of("train/masked"),
        "72 bytes",
        "The request was not understood.",
        "All 8 lines are as the site wrote them",
        "approval withdrawn",
        "SHA256:",
    ):
        assert words in said, words
    assert "alone" in words_of("train/masked")
    assert said.count("No. ") == 0


def test_the_page_needs_nothing_from_elsewhere(site: Path) -> None:
    page = Page(text := written(site))
    assert {"script", "link", "img", "iframe"}.isdisjoint(page.tags)
    assert not any(name in ("src", "href", "onload") for name, _ in page.attributes)
    assert "http://" not in text
    assert "https://" not in text
    assert "url(" not in text
    assert "@media print" in text
    assert "prefers-color-scheme: dark" in text


def test_the_page_names_each_fault(site: Path) -> None:
    path = file_of(site)
    lines = path.read_bytes().splitlines(keepends=True)
    del lines[2]
    lines[4] = lines[4].replace(b"rows", b"cols")
    path.write_bytes(b"".join(lines))
    said = " ".join(Page(written(site)).texts)
    assert "No. 2 faults:" in said
    assert "line 3: it is gone" in said
    assert "line 6: it is not as the site wrote it" in said
    assert "Yes." not in said


def test_what_a_stranger_wrote_is_not_markup(tmp_path: Path) -> None:
    folder = tmp_path / "<b>site"
    asked = Asked(EVIL, EVIL, EVIL, EVIL)
    ledger = Ledger(folder, KEY)
    ledger.record(Entry("refusal", asked, EVIL, (field("code"),), EVIL, EVIL))
    ledger.record(Entry("answer", asked, EVIL, (field(EVIL),)))
    ledger.record(Entry.approval(EVIL))
    text = written(folder)
    page = Page(text)
    assert "script" not in page.tags
    assert "b" not in page.tags
    assert any(EVIL in words for words in page.texts)


def test_a_run_of_refusals_only_is_shown(tmp_path: Path) -> None:
    Ledger(tmp_path, KEY).record(refusal())
    export(tmp_path, tmp_path / "out.html", PUBLIC)
    assert "No answer left." in (tmp_path / "out.html").read_text()


def test_another_ending_and_no_ledger_are_wrong_use(site: Path, tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match="endings"):
        export(site, tmp_path / "out.pdf", PUBLIC)
    for name in ("out.html", "out.csv"):
        with pytest.raises(WrongUse, match="no ledger"):
            export(tmp_path / "nowhere", tmp_path / name, PUBLIC)
        assert not (tmp_path / name).exists()


def test_a_table_of_a_damaged_ledger_holds_what_can_be_read(tmp_path: Path) -> None:
    path = fill(tmp_path, 4)
    path.write_bytes(path.read_bytes().replace(b"train.0.1", b"train.0.7"))
    assert [line.number for line in lines_of(tmp_path)] == [1, 3, 4]


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (57_000_000, "57.0 MB"),
        (10**10, "10.0 GB"),
    ],
)
def test_sizes_in_words(count: int, words: str) -> None:
    assert size_words(count) == words


def test_only_lines_of_a_run(site: Path) -> None:
    found: list[Any] = [line.run for line in lines_of(site, "run-2")]
    assert found == ["run-2"] * 3
