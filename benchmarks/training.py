"""How fast a site trains: `python benchmarks/training.py [--width 0.25] [--repeats 7]`.

Times, in turns and on one thread, the loop that anybody would write first (straightforward.py) and
the site's own `train_locally`, in float32 and in bfloat16. Each loop has a process of its own, as
it would have: the straightforward one as Python starts it, the site's own as a worker is set up,
which keeps the memory that it has freed. What that alone is worth is told too: the straightforward
loop in a process that is set up like a worker.

Each repeat gives one ratio to the straightforward loop of the same repeat, since other work on the
machine changes its pace in minutes; the median and the spread of these ratios count. Processor time
is given beside wall time for the same reason.

That studies come to the same with either is measured by `benchmarks/same_auc.py`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import torch
from in_turn import apart
from straightforward import straightforward
from table import Row

from client.network.local_training import LocalResult, train_locally
from client.network.slices import Slices
from common.cnn import initial_weights
from common.memory import keep_freed_memory
from common.study_tables import Cnn, Training

CROP, SLICES = 128, 128
REFERENCE, KEPT = "straightforward", "straightforward, memory kept"
BALANCE = np.ones(2)

Train = Callable[[np.ndarray, Slices, Cnn, Training, int, int], LocalResult]


def own(
    weights: np.ndarray, slices: Slices, cnn: Cnn, training: Training, epochs: int, seed: int
) -> LocalResult:
    """The site's loop, on the processor also where there is a GPU (gpu.py measures that one)."""
    device = torch.device("cpu")
    return train_locally(weights, slices, cnn, training, epochs, BALANCE, 0.0, seed, device)


@dataclass(frozen=True)
class Loop:
    """How slices are trained on, and whether in a process that is set up like a worker."""

    train: Train
    precision: str = "float32"
    as_a_worker: bool = True


LOOPS = {
    REFERENCE: Loop(straightforward, as_a_worker=False),
    KEPT: Loop(straightforward),
    "float32": Loop(own),
    "bfloat16": Loop(own, "bfloat16"),
}


def serve(line: Connection, name: str, width: float, count: int, augmentation: str) -> None:
    """Train for an epoch at each seed that comes, and tell wall and processor time (seconds)."""
    loop = LOOPS[name]
    if loop.as_a_worker:
        keep_freed_memory()
    data, cnn = noise(count), Cnn(width=width)
    training = Training.model_validate({"augmentation": augmentation, "precision": loop.precision})
    weights = initial_weights(width, cnn.dropout, CROP, 1)
    while (seed := line.recv()) is not None:
        wall, cpu = time.perf_counter(), time.process_time()
        loop.train(weights, data, cnn, training, 1, seed)
        line.send((time.perf_counter() - wall, time.process_time() - cpu))


def measure(
    width: float = 0.25,
    slices: int = SLICES,
    repeats: int = 7,
    augmentation: str = "geometry",
    progress: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Time an epoch of each loop in turns, `repeats` times, after one that is not counted.

    Returns
    -------
    dict
        `images_per_second[clock][loop]` and `ratio[clock][loop]`, each with median, lowest and
        highest; clock is `cpu` or `wall`. A ratio above 1: faster than the straightforward loop.
    """
    rates: dict[str, dict[str, list[float]]] = {
        clock: {name: [] for name in LOOPS} for clock in ("cpu", "wall")
    }
    with apart(serve, {name: (name, width, slices, augmentation) for name in LOOPS}) as lines:
        for repeat in range(repeats + 1):
            for name, line in lines.items():
                line.send(repeat)
                wall, cpu = line.recv()
                if repeat:
                    rates["cpu"][name].append(slices / cpu)
                    rates["wall"][name].append(slices / wall)
                    progress(f"{repeat}: {name} {slices / cpu:.1f} slices a second (processor)")
    return {
        "width": width,
        "slices": slices,
        "repeats": repeats,
        "images_per_second": {
            clock: {name: summary(found) for name, found in by_name.items()}
            for clock, by_name in rates.items()
        },
        "ratio": {
            clock: {
                name: summary(list(np.array(found) / np.array(by_name[REFERENCE])))
                for name, found in by_name.items()
                if name != REFERENCE
            }
            for clock, by_name in rates.items()
        },
    }


def noise(count: int) -> Slices:
    """Slices of noise: no loop's pace depends on what they show."""
    rng = np.random.default_rng(0)
    images = rng.random((count, CROP, CROP), dtype=np.float32)
    return Slices(images, (images > 0.9).astype(np.float32), np.arange(count) % 2)


def summary(found: list[float]) -> dict[str, Any]:
    return {
        "median": statistics.median(found),
        "lowest": min(found),
        "highest": max(found),
        "each": found,
    }


def rows(widths: tuple[float, ...] = (0.25, 1.0), repeats: int = 7) -> list[Row]:
    """Measure each loop as it would run; the ratio is that of processor time."""
    made = []
    for width in widths:
        found = measure(width, repeats=repeats)
        pace = {name: one["median"] for name, one in found["images_per_second"]["cpu"].items()}
        made += [
            Row(
                f"training, one thread, width {width:g}, {precision}",
                "the straightforward loop",
                "times as fast",
                1.5,
                found["ratio"]["cpu"][precision]["each"],
                f"{pace[precision]:.1f} against {pace[REFERENCE]:.1f} slices a second; "
                f"the straightforward loop with memory kept: {pace[KEPT]:.1f}",
            )
            for precision in ("float32", "bfloat16")
        ]
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=float, default=0.25)
    parser.add_argument("--slices", type=int, default=SLICES)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--augmentation", default="geometry")
    parser.add_argument("--quiet", action="store_true")
    asked = parser.parse_args()
    told = (lambda line: None) if asked.quiet else lambda line: print(line, flush=True)
    found = measure(asked.width, asked.slices, asked.repeats, asked.augmentation, told)
    print(json.dumps(found, indent=1))
    for clock, by_name in found["ratio"].items():
        for name, ratio in by_name.items():
            print(
                f"{name}, {clock}: {ratio['median']:.2f} times the straightforward loop "
                f"({ratio['lowest']:.2f} to {ratio['highest']:.2f})"
            )


if __name__ == "__main__":
    main()
