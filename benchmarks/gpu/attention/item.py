"""Self-attention by kernel, from the smallest clips to the longest, also with guides that count in part."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from benchmarks.gpu.attention import flash4
from benchmarks.gpu.weights import HEADS

if TYPE_CHECKING:
    import torch

    from actors.engines.diffusers.kernels import Kernel
    from benchmarks.gpu.bench import Bench

MODELS = {"2b": "2B", "13b": "13B, LTX-2"}
"""Sizes by their heads, and who has such."""
CLIPS = (
    (768, 512, 97),
    (768, 512, 121),
    (1536, 1024, 97),
    (1536, 1024, 121),
    (1920, 1088, 121),
    (1920, 1088, 305),
)
"""Width, height and frames: 4,992 to 79,560 tokens."""
GUIDE_LATENTS, GUIDE_WEIGHT = 2, 0.5
"""The guides of an extend with 16 overlapping frames, and how much they count."""


def attention(bench: Bench) -> None:
    """Every kernel on every shape that a film has, and what `attention_mode: auto` makes of it."""
    import torch

    from actors.engines.diffusers import kernels

    device, dtype = torch.device(bench.device), torch.bfloat16 if bench.real else torch.float32
    found = kernels.candidates(device)
    if device.type == "cuda" and flash4.installed():
        found["flash 4"] = flash4.attend
    rows: list[dict[str, Any]] = []
    for size, model in (MODELS if bench.real else {"rehearsal": "rehearsal"}).items():
        heads, head_size = _heads(size)
        for clip in CLIPS if bench.real else ((64, 64, 17),):
            tokens, guides = _tokens(*clip)
            row = {"model": model, "clip": "x".join(map(str, clip))}
            for count in (0, guides):
                shape = (1, heads, tokens + count, head_size)
                ways = guided(found, count, math.log(GUIDE_WEIGHT), dtype, device) if count else found
                measured = kernels.measure(ways, shape, dtype, device)
                rows.append({**row, "tokens": shape[2], "guides": count})
                rows[-1] |= {f"{one.name} ms": one.fault or one.seconds * 1e3 for one in measured}
                rows[-1] |= {f"{one.name} error": one.error for one in measured[1:] if not one.fault}
            bench.table(
                "Attention: one self-attention by kernel; error is relative RMS against torch's own choice",
                rows,
            )
    if bench.real:
        chosen = [
            {"model": size, "attention_mode": kernels.choose(device, *_heads(size), dtype)} for size in MODELS
        ]
        bench.table("Attention: what `auto` freezes in a plan (diffusers engine)", chosen)


def guided(
    found: Mapping[str, Kernel], guides: int, log_weight: float, dtype: torch.dtype, device: torch.device
) -> dict[str, Kernel]:
    """The kernels that take a mask, and FlashAttention 4, as they attend where the last tokens are guides."""
    import torch
    from torch.nn.attention import sdpa_kernel

    from actors.engines.diffusers import kernels
    from actors.engines.diffusers.ltx_video.attention import weighted_guides

    weights = torch.full((guides,), log_weight, dtype=dtype, device=device)

    def plain(query: Any, key: Any, value: Any) -> Any:
        return weighted_guides(query, key, value, weights)

    def by(backend: Any, query: Any, key: Any, value: Any) -> Any:
        with sdpa_kernel(backend):
            return plain(query, key, value)

    ways: dict[str, Kernel] = {kernels.DEFAULT: plain}
    ways |= {name: partial(by, kernels.BACKENDS[name]) for name in kernels.BACKENDS if name in found}
    if "flash 4" in found:
        ways["flash 4"] = partial(flash4.weighted, guides=guides, log_weight=log_weight)
    return ways


def _tokens(width: int, height: int, frames: int) -> tuple[int, int]:
    """Of a clip, and of its guides."""
    area = (width // 32) * (height // 32)
    return ((frames - 1) // 8 + 1) * area, GUIDE_LATENTS * area


def _heads(size: str) -> tuple[int, int]:
    return HEADS[size]["num_attention_heads"], HEADS[size]["attention_head_dim"]
