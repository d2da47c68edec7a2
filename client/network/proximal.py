"""FedProx's pull towards the weights that were received (Li et al., MLSys 2020)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn import Parameter


def copies(parameters: Sequence[Parameter]) -> list[Tensor]:
    """Copy the weights as they are now: those that were received."""
    return [parameter.detach().clone() for parameter in parameters]


def add_pull(parameters: Sequence[Parameter], received: Sequence[Tensor], mu: float) -> None:
    """Add the gradient of mu/2 |w - received|^2 to that of each parameter that has one."""
    for parameter, before in zip(parameters, received, strict=True):
        assert parameter.grad is not None
        parameter.grad += mu * (parameter.detach() - before)
