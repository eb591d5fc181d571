"""Sigmas of a sampling run, for every engine.

The shift grows with the number of latent tokens, as in the LTX-Video paper's training schedule and ComfyUI's
LTXVScheduler; the stretch makes the last non-zero sigma `TERMINAL`. The node computes `1 - sigma` in single
precision, where little is left of it from some 40,000 tokens on and nothing from 60,000; here it is never
formed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

TERMINAL = 0.1
"""The smallest non-zero sigma after stretching: LTXVScheduler's default."""

_FEW_TOKENS, _MANY_TOKENS = 1024, 4096
"""The token counts at which the shift is `base_shift` and `max_shift`."""

LTX2_TOKENS = _MANY_TOKENS
"""LTX-2's schedule is that of this many tokens whatever a clip has (LTX2Scheduler in ltx-core, as its
pipelines call it)."""


def shift_for(tokens: int, max_shift: float, base_shift: float) -> float:
    """The log-shift for a clip of `tokens` latent tokens: a line through (1024, base) and (4096, max)."""
    slope = (max_shift - base_shift) / (_MANY_TOKENS - _FEW_TOKENS)
    return tokens * slope + (base_shift - slope * _FEW_TOKENS)


def ltx_sigmas(steps: int, tokens: int, max_shift: float, base_shift: float) -> torch.Tensor:
    """`steps + 1` float32 sigmas from 1 to 0: sigma' = e^s / (e^s + 1/sigma - 1), then stretched.

    1 - sigma' = (1/sigma - 1) / (e^s + 1/sigma - 1), of which the stretch takes ratios alone.
    """
    shrink = math.exp(-shift_for(tokens, max_shift, base_shift))
    odds = steps / torch.arange(steps, 0, -1, dtype=torch.float64) - 1.0
    distance = odds / (1.0 + odds * shrink)
    # A single step has no interior to stretch: its only sigma is 1.
    stretched = 1.0 - distance / distance[-1] * (1.0 - TERMINAL) if steps > 1 else 1.0 - distance
    return torch.cat([stretched, stretched.new_zeros(1)]).float()


def truncated(steps: int, denoise: float, tokens: int, shifts: tuple[float, float]) -> torch.Tensor:
    """The last `steps + 1` sigmas of a schedule of `steps / denoise` steps, `shifts` = (max, base).

    ComfyUI's BasicScheduler keeps the number of model calls and starts later.
    """
    total = steps if denoise >= 1.0 else int(steps / denoise)
    return ltx_sigmas(total, tokens, *shifts)[-(steps + 1) :]


def explicit(sigmas: Sequence[float]) -> torch.Tensor:
    """Sigmas as the user wrote them."""
    return torch.tensor(sigmas, dtype=torch.float32)
