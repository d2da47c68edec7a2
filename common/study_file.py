"""Reads a study from its TOML file; what is wrong in it is told with its line and the reason."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from common.errors import StudyError
from common.study import Study
from common.toml_lines import line_of


def read_study(path: Path) -> Study:
    """Read and validate a protocol file.

    Raises
    ------
    StudyError
        The file cannot be read, is not TOML, or holds an unknown key or an impossible value; the
        message gives the line and the reason of each.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise StudyError(
            f"The study file {path} cannot be read ({reason}).",
            "Give the path of a study.toml, or make one with: myofed study new study.toml",
        ) from error
    return parse_study(text, str(path))


def parse_study(text: str, source: str = "study.toml") -> Study:
    """Validate the text of a protocol file; `source` names it in errors."""
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise StudyError(f"{source} is not valid TOML: {error}.", "Correct that line.") from error
    try:
        return Study.model_validate(content)
    except ValidationError as error:
        faults = [_say(source, text, fault["loc"], fault["type"], fault["msg"])
                  for fault in error.errors()]  # fmt: skip
        raise StudyError(
            "\n".join(faults), "Correct what is named; 'myofed study new' shows every key."
        ) from error


def _say(source: str, text: str, location: Sequence[int | str], kind: str, message: str) -> str:
    reason = "unknown key" if kind == "extra_forbidden" else message.removeprefix("Value error, ")
    if not location:
        location, reason = _located(reason)
    where = ".".join(str(part + 1) if isinstance(part, int) else part for part in location)
    line = line_of(text, location)
    place = f"{source}, line {line}" if line else source
    return f"{place}: {where}: {reason}." if where else f"{place}: {reason}."


def _located(reason: str) -> tuple[tuple[int | str, ...], str]:
    """Split 'a.0.b: reason' of a check over several sections into its place and its reason."""
    place, _, rest = reason.partition(": ")
    if not rest or " " in place:
        return (), reason
    return tuple(int(part) if part.isdigit() else part for part in place.split(".")), rest
