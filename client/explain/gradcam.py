"""Grad-CAM of the deep model's score on the network's third convolution block, by MONAI.

Selvaraju et al., Int J Comput Vis 2020;128:336. Fahmy et al., J Cardiovasc Magn Reson 2022;24:40
show it for their third block. The score is that of the release's deep head, not of the network's
own last layer: the head is what a reader sees, and it weighs other deep features.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from client.cohort.rows import SiteRows
from common.feature_names import DEEP_FEATURES
from common.heads import Head
from common.release import FoldModel
from common.study import Study
from common.study_tables import Cnn
from common.trials import settings_of

if TYPE_CHECKING:
    from torch import nn

Heat = npt.NDArray[np.float32]
Linear = tuple[npt.NDArray[np.float64], float]

THIRD_BLOCK = "convolutions.7"
"""The third block's convolution after its ReLU, before it is pooled: a quarter of the crop."""

_BATCH = 16


def ensemble_heat(
    folds: Sequence[FoldModel], rows: SiteRows, chosen: npt.NDArray[np.int64], study: Study
) -> Heat:
    """Average the folds' heat of some slices, as their scores are averaged.

    Parameters
    ----------
    chosen : (k,)
        Numbers of the slices among the rows.

    Returns
    -------
    (k, crop, crop) float32, 0 or above
        In units of the deep head's logit: evidence for the positive class.
    """
    images, masks = rows.images[chosen], rows.masks[chosen]
    added = np.zeros(images.shape, np.float32)  # one at a time: a site has thousands of slices
    for fold in folds:
        head = deep_slopes(fold.heads[("deep", "harmonized")], fold.reference.alpha.size)
        cnn = settings_of(study, fold.trial).cnn
        added += grad_cam(fold.weights, head, images, masks, cnn)
    return np.asarray(added / len(folds), np.float32)


def grad_cam(
    weights: npt.NDArray[np.float32], head: Linear, images: Heat, masks: Heat, cnn: Cnn
) -> Heat:
    """Compute one network's heat for the positive class.

    Parameters
    ----------
    weights
        Of the network, as one flat vector.
    head
        Slopes (256,) of the deep features and intercept, by `deep_slopes`.
    images, masks : (n, crop, crop) float32

    Returns
    -------
    (n, crop, crop) float32, 0 or above
        Not normalised: slices and patients can be compared. Upsampled bilinearly.
    """
    import torch
    from monai.visualize.class_activation_maps import GradCAM

    from client.network.augment import channels

    if not len(images):
        return np.zeros((0, *images.shape[1:]), np.float32)
    torch.set_num_threads(1)
    method = GradCAM(
        _scored(weights, head, cnn, images.shape[-1]),
        target_layers=THIRD_BLOCK,
        postprocessing=lambda heat: heat,
    )
    batch = channels(torch.from_numpy(images), torch.from_numpy(masks))
    maps = [method(x=part, class_idx=0)[:, 0] for part in torch.split(batch, _BATCH)]
    return np.asarray(torch.cat(maps).detach().numpy(), np.float32)


def deep_slopes(head: Head, radiomic: int) -> Linear:
    """Write the deep head as a plain linear layer: slopes (256,) of raw features, and intercept.

    Parameters
    ----------
    radiomic
        Number of radiomic features; the deep ones are the columns after them.
    """
    slopes = np.zeros(DEEP_FEATURES)
    per_unit = head.coefficients[1:] / head.scale
    np.add.at(slopes, head.features - radiomic, per_unit)
    return slopes, float(head.coefficients[0] - per_unit @ head.center)


def _scored(weights: npt.NDArray[np.float32], head: Linear, cnn: Cnn, crop: int) -> nn.Module:
    """Build the network with the deep head in place of its last layer: (n, 1) logits."""
    import torch
    from torch import nn

    from common.cnn import build

    network = build(weights, cnn.width, cnn.dropout, crop)
    last = nn.Linear(DEEP_FEATURES, 1)
    with torch.no_grad():
        last.weight.copy_(torch.from_numpy(head[0])[None])
        last.bias.fill_(head[1])
    scored = nn.Sequential()
    blocks = _rectified_first(network.convolutions)
    parts = {"convolutions": blocks, "dense": network.dense, "head": last}
    for name, part in parts.items():
        scored.add_module(name, part)
    return scored.eval()


def _rectified_first(convolutions: nn.Sequential) -> nn.Sequential:
    """Put each block's ReLU before its pool, as in the paper: there the maps are looked at."""
    from torch import nn

    layers: list[nn.Module] = []
    for layer in convolutions:
        layers.insert(len(layers) - isinstance(layer, nn.ReLU), layer)
    return nn.Sequential(*layers)
