"""What a round costs beside training, by the model's size: `python benchmarks/fixed_cost.py OUT`.

Three phantom sites with so few slices that a round hardly trains, deployed on loopback at several
widths of the network. Told for each: the weights, the same steps in plain torch, the round, and a
question without weights. What a round takes beyond plain torch is a fixed cost and one for each MB.
Takes four minutes; nothing else should run meanwhile.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
from pathlib import Path

import network
import numpy as np

from common.cnn import initial_weights
from common.study_file import parse_study

WIDTHS = (0.0625, 0.25, 0.5, 1.0)
PATIENTS, SLICES = 12, 1


def measure(out: Path, width: float, rounds: int) -> tuple[float, float]:
    """Time rounds at a width; the first does not count. MB of weights, and seconds beyond plain."""
    text = network.study_text(rounds) + f"[cnn]\nwidth = {width}\n"
    study = parse_study(text + network.roster_text())
    place = out / f"width-{width:g}"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    folders = network.make_sites(place, study, PATIENTS, SLICES)
    plain = statistics.median(network.time_plain(folders, study, rounds, as_a_worker=True)[1:])
    deployed = network.time_deployed(place, folders, text)
    whole = statistics.median(deployed["train"][1:])
    weights = initial_weights(width, study.cnn.dropout, study.preprocessing.crop, study.seed)
    print(
        f"{weights.nbytes / 1e6:.1f} MB: plain {plain:.2f} s, round {whole:.2f} s, "
        f"a question without weights {statistics.median(deployed['heads']):.2f} s",
        flush=True,
    )
    return weights.nbytes / 1e6, whole - plain


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--rounds", type=int, default=9)
    given = parser.parse_args()
    found = [measure(given.out.absolute(), width, given.rounds) for width in WIDTHS]
    slope, fixed = np.polyfit(*zip(*found, strict=True), 1)
    print(f"{fixed:.2f} s and {slope:.3f} s for each MB")


if __name__ == "__main__":
    main()
