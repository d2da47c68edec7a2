"""What a person sees: no cell of a wide table is cut."""

from __future__ import annotations

import pytest

from common.console import show_wide, table_of


@pytest.mark.parametrize("length", [3, 400])
def test_a_wide_table_is_as_wide_as_it_must_be(
    capsys: pytest.CaptureFixture[str], length: int
) -> None:
    cells = ["a" * length, "b" * length, "7.2 times as fast"]
    show_wide(table_of("", ["name", "against", "median"], [cells]))
    shown = capsys.readouterr().out
    assert all(cell in shown for cell in cells)
    assert "…" not in shown
