"""Opacus's private optimiser, with noise that only the site can know.

Opacus draws noise from a torch generator, or in its secure mode from torchcsprng, which is made for
no current torch. All but the source of the noise is Opacus's: clipping, the sum over virtual
batches, the guard against gradients used twice, the division by the expected batch.
"""

from __future__ import annotations

import torch
from opacus.optimizers import DPOptimizer  # type: ignore[import-untyped]

from common.privacy.secret_noise import SecretNoise


class SecretOptimizer(DPOptimizer):  # type: ignore[misc]
    """Step on the sum of clipped gradients plus noise, over the expected number of patients.

    Parameters
    ----------
    optimizer
        Makes a step of the noisy gradient: Adam or any other.
    noise_multiplier, clip
        Noise has the standard deviation of their product.
    expected
        Number of patients that the sum is divided by; never the number that was drawn.
    source
        The noise.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        noise_multiplier: float,
        clip: float,
        expected: float,
        source: SecretNoise,
    ) -> None:
        super().__init__(
            optimizer,
            noise_multiplier=noise_multiplier,
            max_grad_norm=clip,
            expected_batch_size=expected,
        )
        self._source = source

    def add_patient(self, gradients: list[torch.Tensor]) -> None:
        """Clip one patient's gradient, jointly over all parameters, and add it to the sum."""
        self._take(*(gradient.unsqueeze(0) for gradient in gradients))
        self.signal_skip_step(True)
        self.step()
        self.zero_grad(set_to_none=True)

    def finish(self) -> None:
        """Add the noise and make the step; also when no patient was drawn."""
        self._take(*(torch.zeros((0, *p.shape), dtype=p.dtype) for p in self.params))
        self.signal_skip_step(False)
        self.step()
        self.zero_grad(set_to_none=True)

    def add_noise(self) -> None:
        """Take Opacus's place: noise from the site's secret, the sum on a grid."""
        scale = self.noise_multiplier * self.max_grad_norm
        for p in self.params:
            total = p.summed_grad
            if hasattr(total, "_processed"):
                raise ValueError("A sum of gradients was to be used twice.")
            noisy = self._source.added_to(total.detach().numpy(), scale)
            p.grad = torch.from_numpy(noisy).to(p.dtype).view_as(p)
            total._processed = True

    def _take(self, *samples: torch.Tensor) -> None:
        for p, sample in zip(self.params, samples, strict=True):
            p.grad_sample = sample
