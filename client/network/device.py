"""Where a site computes with the network, and how precisely: its GPU if it has one, else its CPU.

What a site is asked for is the same in any case, and weights travel as float32. Its numbers are its
own: they are the same bits on one machine whichever process computes them, and not on another.
`CUDA_VISIBLE_DEVICES=""` in the environment keeps a site on its CPU.
"""

from __future__ import annotations

import torch
from torch import Tensor

from common.study_tables import Precision


def own_device() -> torch.device:
    """Give the site's first GPU, or its CPU where PyTorch finds none."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def settle(device: torch.device) -> None:
    """Set this process up so that the same question gives the same bits.

    One thread on the CPU: a sum over more would depend on how many there are. On a GPU only kernels
    that always add up in one order, and float32 that is not rounded to TF32.
    """
    torch.set_num_threads(1)
    if device.type == "cuda":
        torch.backends.cudnn.deterministic = True
        torch.backends.cudnn.benchmark = False
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cuda.matmul.allow_tf32 = False


def to_device(drawn: Tensor, device: torch.device) -> Tensor:
    """Send numbers that were drawn on the CPU to where they are needed.

    To a GPU without waiting: a plain copy would wait until all that it was told to do is done, at
    each batch, and it would stand still until it is told the next.
    """
    if device.type == "cuda":
        return drawn.pin_memory().to(device, non_blocking=True)
    return drawn.to(device)


def mixed_precision(device: torch.device, precision: Precision) -> torch.autocast:
    """Give the context in which the network's layers compute in the study's precision.

    In bfloat16 it is products and activations that are short; weights, gradients of weights, loss
    and optimiser stay float32. Its exponent is that of float32, so nothing needs to be scaled. A
    processor that would have to imitate it computes in float32 instead: that is two to nine times
    as fast.
    """
    short = precision == "bfloat16" and has_bfloat16(device)
    return torch.autocast(device.type, torch.bfloat16, enabled=short)


def in_words(device: torch.device, precision: Precision) -> str:
    """Say where and how precisely a site trains, for its log."""
    where = "the CPU"
    if device.type == "cuda":
        where = f"the GPU {torch.cuda.get_device_name(device)}"
    if precision == "bfloat16" and not has_bfloat16(device):
        return f"{where} in float32: the study asks for bfloat16, which it would have to imitate"
    return f"{where} in {precision}"


def has_bfloat16(device: torch.device) -> bool:
    """Say whether the device itself multiplies in bfloat16; an old PyTorch cannot tell: no."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    asked: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(asked.get("avx512_bf16") or asked.get("amx_bf16"))
