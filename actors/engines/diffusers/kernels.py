"""Which kernel computes self-attention: torch's own backends and SageAttention, chosen by measurement.

A choice is text, so that it can stand in a plan: one name (`cudnn`) for every size, or a name for each class
of sizes (`8192:flash,32768:cudnn`), where a class is the largest number of tokens it holds.
"""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from actors.engines.timing import fastest_of_each

log = logging.getLogger(__name__)

Kernel = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(query, key, value), each `[B, heads, N, d]`, without a mask -> `[B, heads, N, d]`."""

DEFAULT, SAGE = "default", "sage"
BACKENDS: Mapping[str, SDPBackend] = {
    "cudnn": SDPBackend.CUDNN_ATTENTION,
    "flash": SDPBackend.FLASH_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
}
CLASSES = (8192, 32768)
"""Tokens of 97 frames at 768 x 512 and at twice that size, guides included, rounded up to powers of two."""

MIN_GAIN = 1.03
"""A kernel must be this much faster than torch's own choice: below that, timing noise would decide."""
MAX_ERROR = 0.02
"""Largest relative RMS difference from torch's own choice (bfloat16 itself is near 0.004)."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One kernel on one shape. `error` is relative RMS against the default, `fault` why it cannot run."""

    name: str
    seconds: float = float("inf")
    error: float = float("inf")
    fault: str = ""


def candidates(device: torch.device) -> dict[str, Kernel]:
    """Every kernel that may run on `device`, torch's own choice first."""
    kernels: dict[str, Kernel] = {DEFAULT: F.scaled_dot_product_attention}
    if device.type == "cuda":
        kernels |= {name: _backend(backend) for name, backend in BACKENDS.items()}
        if importlib.util.find_spec("sageattention") is not None:
            kernels[SAGE] = _sage
    return kernels


def kernel(name: str, device: torch.device) -> Kernel | None:
    """The kernel of that name; None where it is not to be had on `device`."""
    return candidates(device).get(name)


def choose(device: torch.device, heads: int, head_size: int, dtype: torch.dtype) -> str:
    """The fastest kernel for each class of sizes, measured with a model's own heads."""
    chosen = {}
    for tokens in CLASSES:
        found = measure(candidates(device), (1, heads, tokens, head_size), dtype, device)
        chosen[tokens] = pick(found)
        log.info("attention up to %d tokens: %s (%s)", tokens, chosen[tokens], describe(found))
    return spell(chosen)


def pick(measured: Sequence[Measured]) -> str:
    """The fastest of those that agree with the first, which is torch's own choice; that one on a tie."""
    default = measured[0]
    enough = default.seconds / MIN_GAIN
    fit = [one for one in measured[1:] if one.error <= MAX_ERROR and one.seconds <= enough]
    return min(fit, key=lambda one: one.seconds, default=default).name


def spell(chosen: Mapping[int, str]) -> str:
    """One name where all classes agree, else `tokens:name` in rising order."""
    if len(set(chosen.values())) == 1:
        return next(iter(chosen.values()))
    return ",".join(f"{tokens}:{chosen[tokens]}" for tokens in sorted(chosen))


def name_for(choice: str, tokens: int) -> str:
    """The kernel that a choice means for `tokens` tokens; the largest class holds everything above it."""
    if ":" not in choice:
        return choice
    classes = [part.split(":") for part in choice.split(",")]
    return next((name for most, name in classes if tokens <= int(most)), classes[-1][1])


def measure(
    kernels: Mapping[str, Kernel], shape: tuple[int, ...], dtype: torch.dtype, device: torch.device
) -> list[Measured]:
    """Time every kernel on noise of `shape` `[B, heads, N, d]`; the others are compared to the first."""
    generator = torch.Generator(device).manual_seed(0)
    query, key, value = torch.randn(3, *shape, generator=generator, device=device).to(dtype)
    reference: Tensor | None = None
    errors: dict[str, float] = {}
    faults: dict[str, str] = {}
    for name, attend in kernels.items():
        try:
            result = attend(query, key, value).float()
            reference = result if reference is None else reference
            errors[name] = _relative_rms(result, reference)
        except Exception as error:  # the kernels' own failures have no common class
            faults[name] = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
    runs = {name: partial(kernels[name], query, key, value) for name in errors}
    seconds = fastest_of_each(runs, device)
    return [
        Measured(name, fault=faults[name]) if name in faults else Measured(name, seconds[name], errors[name])
        for name in kernels
    ]


def describe(measured: Sequence[Measured]) -> str:
    """`default 1.20 ms, cudnn 0.80 ms`; what cannot run is left out."""
    return ", ".join(f"{one.name} {one.seconds * 1e3:.2f} ms" for one in measured if not one.fault)


def _backend(backend: SDPBackend) -> Kernel:
    def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        with sdpa_kernel(backend):
            return F.scaled_dot_product_attention(query, key, value)

    return attend


def _sage(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    from sageattention import sageattn

    return sageattn(query, key, value, tensor_layout="HND", is_causal=False)


def _relative_rms(result: Tensor, reference: Tensor) -> float:
    return float((result - reference).square().mean().sqrt() / reference.square().mean().sqrt())
