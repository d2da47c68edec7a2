"""How fast a site trains: `python benchmarks/training.py [--width 0.25] [--repeats 7]`.

Times, in turns and on one thread, the loop that anybody would write first (straightforward.py) and
the site's own `train_locally`, in float32 and in bfloat16. Each repeat gives one ratio to the
straightforward loop of the same repeat, since other work on the machine changes its pace in
minutes; the median and the spread of these ratios count. Processor time is given beside wall time
for the same reason.

That studies come to the same with either is measured by `benchmarks/same_auc.py`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from straightforward import straightforward
from table import Row

from client.network.local_training import LocalResult, train_locally
from client.network.slices import Slices
from common.cnn import initial_weights
from common.memory import keep_freed_memory
from common.study_tables import Cnn, Training

CROP = 128
REFERENCE = "straightforward"
BALANCE = np.ones(2)

Loop = Callable[[np.ndarray, Slices, Cnn, Training, int, int], LocalResult]


def own(
    weights: np.ndarray, slices: Slices, cnn: Cnn, training: Training, epochs: int, seed: int
) -> LocalResult:
    """The site's loop."""
    return train_locally(weights, slices, cnn, training, epochs, BALANCE, 0.0, seed)


def loops(augmentation: str) -> dict[str, tuple[Loop, Training]]:
    """What is compared, by name; the straightforward loop first."""
    plain = Training.model_validate({"augmentation": augmentation})
    short = plain.model_copy(update={"precision": "bfloat16"})
    return {REFERENCE: (straightforward, plain), "float32": (own, plain), "bfloat16": (own, short)}


def measure(
    width: float = 0.25,
    slices: int | None = None,
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
    count = slices or max(16, round(128 * min(1.0, 0.25 / width)))
    data, cnn = noise(count), Cnn(width=width)
    weights = initial_weights(width, cnn.dropout, CROP, 1)
    compared = loops(augmentation)
    rates: dict[str, dict[str, list[float]]] = {
        clock: {name: [] for name in compared} for clock in ("cpu", "wall")
    }
    for repeat in range(repeats + 1):
        for name, (loop, training) in compared.items():
            wall, cpu = time.perf_counter(), time.process_time()
            loop(weights, data, cnn, training, 1, repeat)
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            if repeat:
                rates["cpu"][name].append(count / cpu)
                rates["wall"][name].append(count / wall)
                progress(f"{repeat}: {name} {count / cpu:.1f} images a second of processor time")
    return {
        "width": width,
        "slices": count,
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


def rows(widths: tuple[float, ...] = (0.25, 1.0), repeats: int = 5) -> list[Row]:
    """Measure as a site's worker runs; the ratio is that of processor time."""
    keep_freed_memory()
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
                f"{pace[precision]:.1f} against {pace[REFERENCE]:.1f} slices a second",
            )
            for precision in ("float32", "bfloat16")
        ]
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=float, default=0.25)
    parser.add_argument("--slices", type=int)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--augmentation", default="geometry")
    parser.add_argument("--quiet", action="store_true")
    parser.add_argument(
        "--keep-memory", action="store_true", help="as a site's worker does: freed memory is kept"
    )
    asked = parser.parse_args()
    if asked.keep_memory:
        keep_freed_memory()
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
