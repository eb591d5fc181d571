"""Which attention kernel a clip is sampled with, through ComfyUI's own override hook.

`default` leaves the core's choice alone, `sage` asks for SageAttention and falls back with one warning
where it cannot run, `auto` takes the faster of the two, measured once per device and shape class.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch

from actors.engines.timing import fastest_of_each

AttentionMode = Literal["auto", "default", "sage"]
Kernel = Literal["default", "sage"]
OVERRIDE = "optimized_attention_override"

MIN_GAIN = 1.03
"""Sage must be this much faster before `auto` takes it: below that, timing noise would decide."""
MAX_ERROR = 0.02
"""Largest relative RMS difference from the default kernel that `auto` accepts (bf16 itself is near 0.004)."""

log = logging.getLogger("ltx-farm")


@dataclass(frozen=True, slots=True)
class ShapeClass:
    """Self-attention calls that cost the same: tokens are rounded up to a power of two."""

    device: str
    dtype: str
    heads: int
    head_dim: int
    tokens: int

    @classmethod
    def of(cls, model: Any, tokens: int) -> ShapeClass | None:
        """The class of a clip of `tokens` tokens on a model patcher; None when it is no LTX transformer."""
        blocks = getattr(model.model.diffusion_model, "transformer_blocks", None)
        if not blocks or not hasattr(blocks[0], "attn1"):
            return None
        heads, head_dim = blocks[0].attn1.heads, blocks[0].attn1.dim_head
        # Weights may be stored in eight bits; what attention sees is the type they are cast to.
        dtype = str(model.model.manual_cast_dtype or model.model.get_dtype()).removeprefix("torch.")
        return cls(str(model.load_device), dtype, heads, head_dim, 1 << max(0, tokens - 1).bit_length())


@dataclass(frozen=True, slots=True)
class AttentionChoice:
    kernel: Kernel
    reason: str


_choices: dict[ShapeClass, AttentionChoice] = {}
_warned: set[str] = set()


TYPICAL_TOKENS = (8192, 32768)
"""Shape classes of 97 frames at 768 x 512 and at twice that size."""
LTX_HEADS = 32
QUERY = "transformer_blocks.0.attn1.to_q.weight"


def job_kernel(transformer: Path, device: str, dtype: str = "auto") -> Kernel:
    """What `auto` means for every clip of a job: sage where it wins at both typical sizes.

    `dtype` is the job's, `auto` being what core computes LTX models in. A file whose heads cannot be read,
    such as a pickle, keeps the default.
    """
    if not device.startswith("cuda"):
        return "default"
    heads = _heads(transformer)
    if heads is None:
        return "default"
    computed = "bfloat16" if dtype == "auto" else dtype
    shapes = [ShapeClass(device, computed, *heads, tokens) for tokens in TYPICAL_TOKENS]
    return "sage" if all(choice(shape).kernel == "sage" for shape in shapes) else "default"


def _heads(transformer: Path) -> tuple[int, int] | None:
    """(heads, head size) of the transformer in a safetensors file, None where there is none to be found;
    where the file does not say, 32 heads as in every LTX model."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(transformer, framework="pt") as file:
            config = json.loads((file.metadata() or {}).get("config", "{}")).get("transformer", {})
            names = [name for name in file.keys() if name.endswith(QUERY)]  # noqa: SIM118
            width = file.get_slice(names[0]).get_shape()[0] if names else 0
    except SafetensorError:
        return None
    heads = int(config.get("num_attention_heads", LTX_HEADS))
    return (heads, width // heads) if width else None


def patch_attention(model: Any, mode: AttentionMode, tokens: int) -> None:
    """Put the override of `mode` on a cloned model patcher; under `auto` one that the user brought stays."""
    options = model.model_options.setdefault("transformer_options", {})
    if mode == "default" or (mode == "auto" and OVERRIDE in options):
        return
    if resolve(model, mode, tokens) == "sage":
        options[OVERRIDE] = sage_override


def resolve(model: Any, mode: AttentionMode, tokens: int) -> Kernel:
    """The kernel that `mode` means for a clip of `tokens` tokens. `auto` measures once and remembers."""
    shape = ShapeClass.of(model, tokens)
    if mode == "default" or shape is None:
        return "default"
    if mode == "sage":
        fault = sage_fault(shape)
        if fault:
            _warn_once(f"SageAttention cannot run here ({fault}): sampling with ComfyUI's default attention.")
        return "default" if fault else "sage"
    return choice(shape).kernel


def choice(shape: ShapeClass) -> AttentionChoice:
    """The faster kernel for a shape class: measured once per process, logged, remembered."""
    if shape not in _choices:
        _choices[shape] = _choose(shape)
        log.info("attention auto: %s on %s (%s)", _choices[shape].kernel, shape, _choices[shape].reason)
    return _choices[shape]


def sage_override(func: Callable[..., torch.Tensor], *args: Any, **kwargs: Any) -> torch.Tensor:
    """Route unmasked attention to core's `attention_sage`; masked calls keep their kernel.

    `kwargs` carries `_inside_attn_wrapper`, without which the wrapped function would call this override
    again.
    """
    from comfy.ldm.modules import attention

    mask = kwargs.get("mask", args[4] if len(args) > 4 else None)
    if mask is not None:
        return func(*args, **kwargs)
    return attention.attention_sage(*args, **kwargs)


def sage_fault(shape: ShapeClass) -> str:
    """Why SageAttention cannot run on this device and shape, tried on a small input; empty when it can."""
    from comfy.ldm.modules import attention

    if not attention.SAGE_ATTENTION_IS_AVAILABLE:
        return "the package sageattention is not installed"
    q = _sample(shape, tokens=128)
    try:
        out = attention.sageattn(*_split_heads(q, shape), is_causal=False, tensor_layout="NHD")
    except Exception as error:  # the kernel's own failures have no common class
        return f"{type(error).__name__}: {error}"
    return "" if bool(torch.isfinite(out).all()) else "its output is not finite"


def _choose(shape: ShapeClass) -> AttentionChoice:
    if not shape.device.startswith("cuda"):
        return AttentionChoice("default", f"no other kernel runs on {shape.device}")
    fault = sage_fault(shape)
    if fault:
        return AttentionChoice("default", f"sage cannot run: {fault}")
    try:
        return _measure(shape)
    except Exception as error:  # out of memory at this size, or a failure of the kernel's own
        return AttentionChoice("default", f"sage could not be measured: {type(error).__name__}: {error}")


def _measure(shape: ShapeClass) -> AttentionChoice:
    from comfy.ldm.modules import attention

    q = _sample(shape, shape.tokens)
    runs = {
        "default": partial(attention.optimized_attention, q, q, q, shape.heads),
        "sage": partial(attention.attention_sage, q, q, q, shape.heads),
    }
    expected, actual = runs["default"](), runs["sage"]()
    fastest = fastest_of_each(runs, q.device)
    default_s, sage_s = fastest["default"], fastest["sage"]
    error = float(
        (actual - expected).float().square().mean().sqrt() / expected.float().square().mean().sqrt()
    )
    timing = f"default {default_s * 1e3:.2f} ms, sage {sage_s * 1e3:.2f} ms, relative difference {error:.4f}"
    fits = error <= MAX_ERROR and default_s / sage_s >= MIN_GAIN
    return AttentionChoice("sage" if fits else "default", timing)


def _sample(shape: ShapeClass, tokens: int) -> torch.Tensor:
    """`[1, tokens, heads * head_dim]` of noise, drawn without touching the global generator."""
    generator = torch.Generator("cpu").manual_seed(0)
    noise = torch.randn(1, tokens, shape.heads * shape.head_dim, generator=generator)
    return noise.to(shape.device, getattr(torch, shape.dtype))


def _split_heads(q: torch.Tensor, shape: ShapeClass) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    split = q.view(1, -1, shape.heads, shape.head_dim)
    return split, split, split


def _warn_once(message: str) -> None:
    if message not in _warned:
        _warned.add(message)
        log.warning(message)
