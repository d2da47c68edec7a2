"""What a site says of its machine fits the narrow form in which it may leave."""

import re

import pytest

from common import machine as described
from common.machine import MACHINE, machine, machine_in_words


def test_this_machine_in_words_fits_its_form():
    words = machine_in_words()
    assert re.fullmatch(MACHINE, words)
    assert f"{machine()['cores']} cores" in words


@pytest.mark.parametrize(
    "name", ["", "名前", 'A "quoted"\n<b>CPU</b>; rm', "(R) " + "long " * 60, "7" * 300]
)
def test_whatever_a_processor_is_called_it_fits(name, monkeypatch):
    monkeypatch.setattr(described, "_processor", lambda: name)
    words = machine_in_words()
    assert re.fullmatch(MACHINE, words), words
    assert "cores" in words


def test_a_path_or_a_host_is_not_in_the_form():
    for other in ("/home/anna", "a\nb", "x" * 101, "name='host'"):
        assert not re.fullmatch(MACHINE, other)
