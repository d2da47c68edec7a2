"""Grad-CAM: an independent computation by plain hooks, and networks whose attention is known."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from site_samples import make_rows, make_study
from torch import nn
from torch.nn import functional

from client.explain.gradcam import deep_slopes, ensemble_heat, grad_cam
from client.network.augment import channels
from common.cnn import build, flatten, initial_weights
from common.feature_names import DEEP_FEATURES
from common.heads import Head
from common.release import FoldModel
from common.study_tables import Cnn
from harmonization import Reference

ROOT = Path(__file__).parents[3]
CNN = Cnn(width=0.05, dropout=0.2)
SIDE = 128


def rings(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIDE, :SIDE]
    away = np.hypot(y - 64, x - 60)
    mask = ((away < 28) & (away >= 16)).astype(np.float32)
    images = rng.uniform(0.2, 0.6, (count, SIDE, SIDE)).astype(np.float32)
    return images, np.repeat(mask[None], count, axis=0)


def some_head(seed: int = 1, radiomic: int = 7) -> Head:
    rng = np.random.default_rng(seed)
    columns = radiomic + rng.permutation(DEEP_FEATURES)[:12]
    scale, slopes = rng.uniform(0.5, 2.0, 12), rng.normal(size=13)
    return Head(columns, rng.normal(size=12), scale, slopes)


def by_hooks(
    weights: np.ndarray, head: Head, radiomic: int, images: np.ndarray, masks: np.ndarray
) -> np.ndarray:
    """Selvaraju et al., equations 1 and 2, slice by slice: no MONAI, no linear layer of ours."""
    network = build(weights, CNN.width, CNN.dropout)
    network.eval()
    held: dict[str, torch.Tensor] = {}
    convolutions = [layer for layer in network.convolutions if isinstance(layer, nn.Conv2d)]
    blocks = [nn.Sequential(one, nn.ReLU(), nn.MaxPool2d(2)) for one in convolutions]
    network.convolutions = nn.Sequential(*blocks, nn.Flatten())
    third = blocks[2][1]
    third.register_forward_hook(lambda _, __, out: held.update(maps=out))
    found = []
    for image, mask in zip(images, masks, strict=True):
        deep = network.deep(channels(torch.from_numpy(image)[None], torch.from_numpy(mask)[None]))
        held["maps"].retain_grad()
        chosen = deep[0, torch.from_numpy(head.features - radiomic)].double()
        centred = (chosen - torch.from_numpy(head.center)) / torch.from_numpy(head.scale)
        logit = head.coefficients[0] + centred @ torch.from_numpy(head.coefficients[1:])
        logit.backward()
        maps, gradient = held["maps"][0], held["maps"].grad[0]
        alpha = gradient.mean(dim=(1, 2))
        heat = torch.relu(torch.einsum("c,cyx->yx", alpha, maps))[None, None]
        grown = functional.interpolate(heat, (SIDE, SIDE), mode="bilinear", align_corners=False)
        found.append(grown[0, 0].detach().numpy())
    return np.stack(found)


def test_it_is_what_plain_hooks_give() -> None:
    weights = initial_weights(CNN.width, CNN.dropout, SIDE, 3)
    images, masks = rings(18)
    head = some_head()
    found = grad_cam(weights, deep_slopes(head, 7), images, masks, CNN)
    expected = by_hooks(weights, head, 7, images, masks)
    assert expected.max() > 0.0
    assert found.shape == (18, SIDE, SIDE)
    assert np.abs(found - expected).max() < 2e-3 * expected.max()
    assert found.min() >= 0.0


def test_the_linear_layer_gives_the_head_s_logits() -> None:
    head = some_head()
    columns = np.random.default_rng(0).normal(size=(5, 7 + DEEP_FEATURES))
    slopes, intercept = deep_slopes(head, 7)
    assert columns[:, 7:] @ slopes + intercept == pytest.approx(head.logits(columns), abs=1e-12)


def sees_brightness() -> tuple[np.ndarray, tuple[np.ndarray, float]]:
    """A network that passes image times mask on through all blocks, and adds it up."""
    network = build(initial_weights(CNN.width, 0.0, SIDE, 0), CNN.width, 0.0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        blocks = [layer for layer in network.convolutions if isinstance(layer, nn.Conv2d)]
        for number, block in enumerate(blocks):
            block.weight[0, 2 if number == 0 else 0, 2, 2] = 1.0
        dense = [layer for layer in network.dense if isinstance(layer, nn.Linear)]
        dense[0].weight[0, 0] = 1.0
        dense[1].weight[0, 0] = 1.0
    slopes = np.zeros(DEEP_FEATURES)
    slopes[0] = 3.0
    return flatten(network), (slopes, -1.0)


def test_a_network_that_looks_for_bright_myocardium_is_hot_where_it_is_bright() -> None:
    weights, head = sees_brightness()
    images, masks = rings(1)
    images[0, 44:50, 44:50] = 1.0  # upper left, on the ring
    images[0, 100:110, 100:110] = 1.0  # outside it: bright, and not myocardium
    [heat] = grad_cam(weights, head, images, masks, CNN)
    hottest = np.unravel_index(np.argmax(heat), heat.shape)
    assert np.hypot(hottest[0] - 46.5, hottest[1] - 46.5) < 5
    assert heat[98:112, 98:112].max() == 0.0
    assert heat[masks[0] > 0].mean() > 5 * heat[masks[0] == 0].mean()


def test_evidence_for_the_other_class_is_not_heat() -> None:
    weights, (slopes, intercept) = sees_brightness()
    images, masks = rings(2)
    other = grad_cam(weights, (-slopes, intercept), images, masks, CNN)
    assert not other.any()
    assert grad_cam(weights, (slopes, intercept), images, masks, CNN).any()


def test_more_evidence_is_more_heat() -> None:
    weights, head = sees_brightness()
    images, masks = rings(1)
    fainter = grad_cam(weights, head, images, masks, CNN)
    brighter = grad_cam(weights, head, images * 1.5, masks, CNN)
    assert brighter.sum() == pytest.approx(1.5 * fainter.sum(), rel=1e-4)


def test_the_ensemble_s_heat_is_the_mean_of_its_folds_heat_of_the_slices_asked_for() -> None:
    study = make_study()
    rows = make_rows("a", study, seed=1, patients=2, slices=2, features=7)
    plain = Reference(np.zeros(7), np.zeros((0, 7)), np.ones(7), np.ones(7, np.bool_), count=9)
    folds = [
        FoldModel(
            plain,
            np.zeros(0),
            initial_weights(study.cnn.width, 0.0, SIDE, seed),
            {("deep", "harmonized"): some_head(seed)},
        )
        for seed in (1, 2, 3)
    ]
    chosen = np.array([3, 1])
    found = ensemble_heat(folds, rows, chosen, study)
    alone = [
        grad_cam(
            fold.weights,
            deep_slopes(fold.heads["deep", "harmonized"], 7),
            rows.images[chosen],
            rows.masks[chosen],
            study.cnn,
        )
        for fold in folds
    ]
    expected = np.mean(alone, axis=0)
    assert expected.max() > 0.0
    assert np.abs(found - expected).max() < 1e-5 * expected.max()


def test_no_slice_gives_no_heat() -> None:
    images, masks = rings(0)
    weights = initial_weights(CNN.width, CNN.dropout, SIDE, 3)
    assert grad_cam(weights, deep_slopes(some_head(), 7), images, masks, CNN).shape == (0, 128, 128)


def test_monai_is_imported_for_the_heat_and_nowhere_else() -> None:
    found = set()
    for folder in ("client", "common", "server", "harmonization", "simulation"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                names += [a.name for a in node.names] if isinstance(node, ast.Import) else []
                if any(name.split(".")[0] == "monai" for name in names):
                    found.add(path.relative_to(ROOT).as_posix())
    assert found == {"client/explain/gradcam.py"}
    script = (
        "import sys, myofed, client.predict, client.explain.attention, client.worker.worker;"
        "import client.reader.one_patient; print('monai' in sys.modules, 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split()[0] == "False"
