"""The head that is set to zero is the network's, and nothing else is."""

from __future__ import annotations

import torch

from common.cnn import build, initial_weights
from common.privacy.fresh_head import fresh_head


def test_only_the_head_is_zero() -> None:
    weights = initial_weights(0.02, 0.0, 128, 3)
    before = weights.copy()
    old, new = (build(one, 0.02, 0.0).eval() for one in (weights, fresh_head(weights)))
    images = torch.rand(2, 3, 128, 128, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        assert torch.equal(old.deep(images), new.deep(images))
        assert torch.equal(new(images), torch.zeros(2))
        assert not torch.equal(old(images), torch.zeros(2))
    assert (weights == before).all()
