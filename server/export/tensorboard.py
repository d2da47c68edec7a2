"""Points as TensorBoard's event files, in `tensorboard/` below the run's folder.

What a file holds follows from the events of the run alone. So a run that is gone on with counts the
records that are there, cuts off one that was half written, and goes on behind them: no point comes
twice, whenever the process was killed.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import IO

from server.export.points import Point

FOLDER = "tensorboard"
FILE = "events.out.tfevents.0.myofed"
VERSION = "brain.Event:2"
_HEAD, _FOOT = 12, 4
"""Bytes before a record, which begin with its length, and behind it."""


class TensorBoardFiles:
    """Takes points; one folder a curve, as TensorBoard shows them."""

    def __init__(self, run: Path) -> None:
        self._folder = run / FOLDER
        self._files: dict[str, EventFile] = {}

    def take(self, point: Point) -> None:
        """Write a point, unless it is there already."""
        if point.curve not in self._files:
            self._files[point.curve] = EventFile(self._folder / point.curve / FILE, point.time)
        self._files[point.curve].take(point)

    def flush(self) -> None:
        """See that what was taken is in the files."""
        for file in self._files.values():
            file.flush()

    def close(self) -> None:
        """Close the files."""
        for file in self._files.values():
            file.close()


class EventFile:
    """One event file, whose first record names its version; `time` is when it begins."""

    def __init__(self, path: Path, time: float) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.summary.writer.record_writer import RecordWriter

        path.parent.mkdir(parents=True, exist_ok=True)
        self._file: IO[bytes] = path.open("r+b" if path.exists() else "w+b")
        self._there = whole_records(self._file)
        self._file.truncate()
        self._writer = RecordWriter(self._file)
        self._put(Event(wall_time=time, file_version=VERSION).SerializeToString())

    def take(self, point: Point) -> None:
        """Write a point, unless it is one of those that are there."""
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        value = Summary.Value(tag=point.name, simple_value=point.value)
        self._put(
            Event(
                wall_time=point.time, step=point.step, summary=Summary(value=[value])
            ).SerializeToString()
        )

    def flush(self) -> None:
        """Hand what was written to the system."""
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _put(self, record: bytes) -> None:
        if self._there > 0:
            self._there -= 1
            return
        self._writer.write(record)


def whole_records(file: IO[bytes]) -> int:
    """Count the whole records of an event file, and leave it at the end of the last of them."""
    end = file.seek(0, 2)
    place = count = 0
    while place + _HEAD <= end:
        file.seek(place)
        (length,) = struct.unpack("<Q", file.read(8))
        behind = place + _HEAD + length + _FOOT
        if behind > end:
            break
        place, count = behind, count + 1
    file.seek(place)
    return count
