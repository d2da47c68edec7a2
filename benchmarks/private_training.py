"""AUC of the network with each patient hidden: `python benchmarks/private_training.py OUT`.

Trains on phantoms of the consortium's three training sites, without privacy and at each epsilon,
and measures the AUC by patient within each site on other phantoms of the same scanners. The private
runs call the function that a site calls: every site takes `--steps` steps in `--rounds` answers,
each with noise of its own, and after each round the mean of their weights goes on. The network is
the mean of the last half of the rounds. `--pooled` trains as if all patients were at one site,
which has the noise of one; `--sites aldgate` trains at a single site. Training without privacy is
on all patients pooled.

    python benchmarks/private_training.py OUT --seeds 11 12 13
    python benchmarks/private_training.py OUT --patients 300 --seeds 11
    python benchmarks/private_training.py OUT --trained all --steps 10 --rounds 5 --clip 1 \
        --optimizer adam --learning-rate 5e-4 --augmentation geometry --draws 1

The defaults train the head alone, on the features of random convolutions: that is what few patients
allow. Without a public start the head begins at zero.

`--public N` starts from a network that was trained without privacy on N phantoms of another
scanner, and prints the AUC of this start: what private training adds is the difference. Phantoms
resemble phantoms far more than patients do, so with real images such a start is worth less.

Everything that is printed goes to OUT/results.json too. Runs that are there are not repeated.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import rankdata

from client.imaging.preprocess import crop_window, prepare_slice
from client.imaging.recipes import preprocessing_of
from client.network.inference import look
from client.network.local_training import train_locally
from client.network.slices import Slices
from client.phantoms.consortium import DEFAULT, PhantomSite, plan_labels
from client.phantoms.patient import make_patient, seeds
from client.private.question import PrivateQuestion, PrivateSteps
from client.private.training import train_privately
from common.cnn import initial_weights
from common.privacy.accounting import noise_for, spent
from common.privacy.fresh_head import HEAD, fresh_head
from common.privacy.secret_noise import digest_of
from common.study_tables import Cnn, Preprocessing, Training

HELD_OUT, TEST_SEED, PUBLIC_SEED = 80, 2, 5
MYOCARDIUM, FEWEST_PIXELS = 2, 20

Cohort = tuple[Slices, np.ndarray]


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--sites", nargs="+", default=[one.name for one in DEFAULT[:3]])
    parser.add_argument("--pooled", action="store_true")
    parser.add_argument("--patients", type=int, default=48, help="of each site")
    parser.add_argument("--slices", type=int, default=2, help="of each patient")
    parser.add_argument("--epsilons", type=float, nargs="*", default=[1.0, 4.0, 8.0])
    parser.add_argument("--delta", type=float, default=1e-4)
    parser.add_argument("--steps", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--rate", type=float, default=1.0, help="of sampling patients")
    parser.add_argument("--clip", type=float, default=1.0)
    parser.add_argument("--learning-rate", type=float, default=1.0)
    parser.add_argument("--optimizer", choices=["adam", "sgd"], default="sgd")
    parser.add_argument("--trained", choices=["all", "dense", "head"], default="head")
    parser.add_argument("--augmentation", choices=["geometry", "none"], default="none")
    parser.add_argument("--views", type=int, default=1)
    parser.add_argument("--width", type=float, default=0.25)
    parser.add_argument("--epochs", type=int, default=20, help="of training without privacy")
    parser.add_argument("--public", type=int, default=0, help="phantoms of another scanner first")
    parser.add_argument("--public-epochs", type=int, default=14)
    parser.add_argument("--draws", type=int, default=5, help="of the noise")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    return parser.parse_args()


def make_cohort(out: Path, site: PhantomSite, patients: int, seed: int, slices: int) -> Cohort:
    """Phantoms as a site's network sees them; radiomics are not measured."""
    path = out / "phantoms" / f"{site.name}-{patients}-{seed}-{slices}.npz"
    if not path.exists():
        recipe, spacing = preprocessing_of(Preprocessing()), site.vendor.spacing
        found: list[tuple[np.ndarray, np.ndarray, int, int]] = []
        for index, scar in enumerate(plan_labels(site, seed, patients)):
            one = make_patient(seeds(seed, site.name, index), site.vendor, scar, 50.0, slices)
            for image, mask in zip(one.image, one.mask == MYOCARDIUM, strict=True):
                if mask.sum() >= FEWEST_PIXELS:
                    ready = prepare_slice(image, mask, (spacing, spacing), recipe)
                    window = crop_window(ready.mask, recipe)
                    found.append((ready.image[window], ready.mask[window], int(scar), index))
        images, masks, labels, owners = (np.array(column) for column in zip(*found, strict=True))
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, images=images, masks=masks, labels=labels, owners=owners)
    kept = np.load(path)
    return Slices(kept["images"], kept["masks"].astype(np.float32), kept["labels"]), kept["owners"]


def pooled(cohorts: list[Cohort]) -> Cohort:
    columns = [
        np.concatenate([getattr(slices, name) for slices, _ in cohorts])
        for name in ("images", "masks", "labels")
    ]
    owners, start = [], 0
    for _, own in cohorts:
        owners.append(own + start)
        start += int(own.max()) + 1
    return Slices(*columns), np.concatenate(owners)


def auc(scores: np.ndarray, labels: np.ndarray) -> float:
    positive = int(labels.sum())
    ranks = rankdata(scores)[labels == 1].sum() - positive * (positive + 1) / 2
    return float(ranks / (positive * (labels.size - positive)))


class Examiner:
    """Measures the mean of the within-site AUC; a patient's score is the mean of its slices'."""

    def __init__(self, cnn: Cnn, cohorts: list[Cohort], frozen: np.ndarray | None) -> None:
        """Remember the deep features of the network `frozen`, if only heads will differ."""
        self._cnn, self._cohorts, self._deep = cnn, cohorts, None
        if frozen is not None:
            self._deep = [look(frozen, slices, cnn).deep for slices, _ in cohorts]

    def auc(self, weights: np.ndarray, *, head_only: bool) -> float:
        found = []
        for number, (slices, owners) in enumerate(self._cohorts):
            if head_only and self._deep is not None:
                head = weights[-HEAD:].astype(np.float64)
                logits = self._deep[number] @ head[:-1] + head[-1]
            else:
                logits = look(weights, slices, self._cnn).logits
            counts = np.bincount(owners)
            seen = counts > 0
            scores = np.bincount(owners, weights=logits)[seen] / counts[seen]
            labels = np.bincount(owners, weights=slices.labels)[seen] > 0
            found.append(auc(scores, labels.astype(int)))
        return float(np.mean(found))


def plain(start: np.ndarray, slices: Slices, cnn: Cnn, epochs: int, seed: int) -> np.ndarray:
    """Train without privacy; the mean of the last half of the epochs."""
    training, weights, kept = Training(augmentation="geometry", learning_rate=3e-4), start, []
    for epoch in range(epochs):
        done = train_locally(
            weights, slices, cnn, training, 1, np.ones(2), 0.0, 1000 * seed + epoch
        )
        weights = done.weights
        kept.append(weights)
    return np.mean(kept[len(kept) // 2 :], axis=0, dtype=np.float32)


def private(
    start: np.ndarray,
    train: list[Cohort],
    cnn: Cnn,
    given: argparse.Namespace,
    noise: float,
    draw: int,
) -> tuple[np.ndarray, float]:
    """Train privately; the mean of the last half of the rounds, and the share of clipped."""
    weights, kept, clipped = start, [], []
    for number in range(given.rounds):
        answers = []
        for site, (slices, owners) in enumerate(train):
            how = PrivateSteps(
                steps=given.steps // given.rounds,
                sampling_rate=given.rate,
                expected_patients=given.rate * np.unique(owners).size,
                noise_multiplier=noise,
                clip=given.clip,
                learning_rate=given.learning_rate,
                optimizer=given.optimizer,
                views=given.views,
                augmentation=given.augmentation,
                trained=given.trained,
            )
            place = f"site {site}, round {number}"
            asked = PrivateQuestion(weights, slices, owners, cnn, how, np.ones(2), 0.0, place)
            answers.append(train_privately(asked, digest_of(f"benchmark {draw}")))
        weights = np.mean([one.weights for one in answers], axis=0, dtype=np.float32)
        kept.append(weights)
        clipped += [one.clipped for one in answers]
    return np.mean(kept[len(kept) // 2 :], axis=0, dtype=np.float32), float(np.mean(clipped))


def run(given: argparse.Namespace, seed: int, remember: Any) -> None:
    sites = [site for site in DEFAULT if site.name in given.sites]
    cnn = Cnn(width=given.width, dropout=0.0)
    own = [make_cohort(given.out, s, given.patients, seed, given.slices) for s in sites]
    everybody = pooled(own)
    train = [everybody] if given.pooled else own
    test = [make_cohort(given.out, s, HELD_OUT, TEST_SEED + 100, given.slices) for s in sites]
    start = initial_weights(given.width, 0.0, 128, seed)
    if given.public:
        name = given.out / f"public-{given.public}-{given.public_epochs}-{given.width}-{seed}.npy"
        if not name.exists():
            other = make_cohort(
                given.out, DEFAULT[3], given.public, PUBLIC_SEED + seed, given.slices
            )
            np.save(name, plain(start, other[0], cnn, given.public_epochs, seed))
        start = np.load(name)
    elif given.trained == "head":
        start = fresh_head(start)
    head_only = given.trained == "head"
    examiner = Examiner(cnn, test, start if head_only else None)
    steps = given.steps // given.rounds * given.rounds
    remember(seed, "start", lambda: {"auc": examiner.auc(start, head_only=head_only)})
    whole = start if given.public else initial_weights(given.width, 0.0, 128, seed)

    def train_without() -> dict[str, float]:
        weights = plain(whole, everybody[0], cnn, given.epochs, seed)
        return {"auc": examiner.auc(weights, head_only=False)}

    if given.epochs:
        remember(seed, "plain", train_without)
    for epsilon in [None, *given.epsilons]:
        noise = 0.0 if epsilon is None else noise_for(epsilon, given.delta, steps, given.rate)

        def train_and_measure(noise: float = noise) -> dict[str, float]:
            draws = range(given.draws if noise else 1)
            found = [private(start, train, cnn, given, noise, draw) for draw in draws]
            aucs = [examiner.auc(weights, head_only=head_only) for weights, _ in found]
            return {
                "auc": float(np.mean(aucs)),
                "sd": float(np.std(aucs)),
                "noise": noise,
                "spent": spent(steps, given.rate, noise, given.delta) if noise else -1.0,
                "clipped": float(np.mean([clipped for _, clipped in found])),
            }

        label = "clipped, no noise" if epsilon is None else f"epsilon {epsilon:g}"
        remember(seed, label, train_and_measure)


def main() -> None:
    given = read_arguments()
    given.out.mkdir(parents=True, exist_ok=True)
    path = given.out / "results.json"
    results: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    ignored = {"out", "seeds", "epsilons"}
    settings = {key: value for key, value in vars(given).items() if key not in ignored}

    def remember(seed: int, label: str, compute: Any) -> None:
        key = json.dumps([settings, seed, label])
        if key not in results:
            began = time.monotonic()
            results[key] = compute() | {"seconds": round(time.monotonic() - began, 1)}
            path.write_text(json.dumps(results, indent=2) + "\n")
        shown = {name: round(value, 3) for name, value in results[key].items()}
        print(f"seed {seed}  {label:18s}", *(f"{k} {v:g}" for k, v in shown.items()), flush=True)

    for seed in given.seeds:
        run(given, seed, remember)


if __name__ == "__main__":
    main()
