"""What a GPU is worth to a site: `python benchmarks/gpu.py [--device cuda] [--slices 2048]`.

Times, in turns and in a process each, whole calls of the site's own `train_locally` on the GPU and
on one thread of the processor, for each width and precision: first weights, the way there and
back, and an epoch of slices of noise. Beside it, on the GPU, an epoch of batches that nobody trains
on: order, random maps, augmentation, layout. What that takes of the epoch says which of the two the
other waits for; above a half the feeding would hold the GPU back.

Without a GPU there are no figures. `--device cpu` runs the same code, to see that it runs.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from statistics import median

import numpy as np
import torch
from in_turn import apart
from table import Row, show
from training import BALANCE, CROP, noise

from client.network.batches import batches, load
from client.network.device import in_words, own_device, settle
from client.network.local_training import train_locally
from common.cnn import initial_weights
from common.memory import keep_freed_memory
from common.study_tables import Cnn, Precision, Training

SLICES, SLICES_OF_CPU = 2048, 128
"""A GPU is through 128 slices before it is warm; a CPU takes a minute for 2,048 at width 1."""
REPEATS = 5
WIDTHS = (0.25, 1.0)
PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16")


def serve(line: Connection, where: str, width: float, precision: Precision, count: int) -> None:
    """At each seed that comes, tell the seconds of an epoch and of its batches alone."""
    keep_freed_memory()
    device, data, cnn = torch.device(where), noise(count), Cnn(width=width)
    training = Training.model_validate({"augmentation": "geometry", "precision": precision})
    weights = initial_weights(width, cnn.dropout, CROP, 1)
    settle(device)
    while (seed := line.recv()) is not None:
        begin = time.perf_counter()
        train_locally(weights, data, cnn, training, 1, BALANCE, 0.0, seed, device)
        trained = time.perf_counter() - begin
        loaded = load(data, BALANCE, device)
        generator = torch.Generator().manual_seed(seed)
        finish(device)
        begin = time.perf_counter()
        for _ in batches(loaded, training, generator):
            pass
        finish(device)
        line.send((trained, time.perf_counter() - begin))


def finish(device: torch.device) -> None:
    """Wait until a GPU has done what it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def measure(
    device: torch.device,
    width: float,
    precision: Precision,
    slices: int,
) -> list[Row]:
    """Give two rows: the pace on `device` against the CPU's, and the batches' part of an epoch.

    `slices` are those of an epoch on `device`. The first epoch is not counted.
    """
    here, there = slices, min(slices, SLICES_OF_CPU)
    sides = {
        "device": (str(device), width, precision, here),
        "cpu": ("cpu", width, precision, there),
    }
    fast, slow, shares = [], [], []
    with apart(serve, sides) as lines:
        for repeat in range(REPEATS + 1):
            told = {}
            for side, line in lines.items():
                line.send(repeat)
                told[side] = line.recv()
            if repeat:
                epoch, feeding = told["device"]
                fast.append(here / epoch)
                slow.append(there / told["cpu"][0])
                shares.append(feeding / epoch)
    name = f"training on a GPU, width {width:g}, {precision}"
    return [
        Row(
            name,
            "the CPU loop, one thread",
            "times as fast",
            1.0,
            list(np.array(fast) / np.array(slow)),
            f"{median(fast):.0f} against {median(slow):.1f} slices a second; "
            f"on {in_words(device, precision)}",
        ),
        Row(
            f"{name}: batches alone",
            "the whole epoch on the GPU",
            "of its time",
            0.5,
            shares,
            "above a half, feeding would hold the GPU back",
            at_most=True,
        ),
    ]


def rows(
    device: torch.device | None = None, widths: Sequence[float] = WIDTHS, slices: int = SLICES
) -> list[Row]:
    """Measure on the GPU, or on the device that is named; without either, one row says so."""
    if device is None and own_device().type == "cpu":
        none = "no GPU on this machine: the code is there, and has never run on one"
        return [Row("training on a GPU", "the CPU loop", "times as fast", 1.0, (), none)]
    return [
        row
        for width in widths
        for precision in PRECISIONS
        for row in measure(device or own_device(), width, precision, slices)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", type=torch.device, help="where to train; the GPU by default")
    parser.add_argument("--slices", type=int, default=SLICES)
    parser.add_argument("--widths", type=float, nargs="+", default=WIDTHS)
    asked = parser.parse_args()
    show(rows(asked.device, asked.widths, asked.slices))


if __name__ == "__main__":
    main()
