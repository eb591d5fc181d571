"""Starts Triton's kernels on tensors; imported where there is a GPU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
import triton
from torch import Tensor

from actors.engines.diffusers.fused import kernels
from actors.engines.diffusers.fused.fp8 import FP8, Rows

if TYPE_CHECKING:
    from actors.engines.diffusers.fused.ops import Due, Modulation, Reading, Turns

WIDTH_OF_A_WARP, MOST_WARPS = 512, 16


def launch_step(x: Tensor, due: Due | None, reading: Reading | None) -> tuple[Tensor, Any]:
    """See `ops.step`."""
    x = x if x.stride(2) == 1 and x.stride(0) == x.shape[1] * x.stride(1) else x.contiguous()
    total = x if due is None else torch.empty(x.shape, dtype=x.dtype, device=x.device)
    out = torch.empty(x.shape, dtype=x.dtype, device=x.device) if reading and reading.plain else None
    rows = _empty_rows(x.shape, x.device) if reading and reading.in_fp8 else None
    norm = reading.norm if reading else None
    gate = due.gate if due else None
    scale, shift = (reading.scale, reading.shift) if reading else (None, None)
    block = triton.next_power_of_2(x.shape[2])
    kernels.step[(x.shape[0] * x.shape[1],)](
        x,
        x.stride(1),
        x if due is None else due.made.contiguous(),
        total,
        x if out is None else out,
        x if rows is None else rows.values,
        x if rows is None else rows.scale,
        *_arguments(gate, x),
        *_arguments(scale, x),
        *_arguments(shift, x),
        x.shape[1],
        x.shape[2],
        _eps(norm),
        ADDED=due is not None,
        GATED=gate is not None,
        NORMED=norm is not None,
        MODULATED=scale is not None,
        PLAIN=out is not None,
        ROUNDED=rows is not None,
        BLOCK=block,
        num_warps=_warps(block),
    )
    return total, _read(out, rows)


def _eps(norm: Any) -> float:
    """torch's own where a norm has none."""
    return torch.finfo(torch.float32).eps if norm is None or norm.eps is None else float(norm.eps)


def _read(out: Tensor | None, rows: Rows | None) -> Tensor | Rows | None:
    if rows is None or out is None:
        return out if rows is None else rows
    return Rows(rows.values, rows.scale, out)


def launch_turned(parts: Sequence[tuple[Tensor, Any]], turns: Turns | None, heads: int) -> list[Tensor]:
    """See `ops.turned`: one or two of the same shape, each with its norm."""
    given = [x.contiguous() for x, _ in parts]
    made = [torch.empty_like(x) for x in given]
    x, norm = given[0], parts[0][1]
    half = x.shape[2] // heads // 2
    block = triton.next_power_of_2(x.shape[2] // 2)
    cos, sin = (x, x) if turns is None else (turns.cos, turns.sin)
    strides = (0, 0, 0, 0) if turns is None else _strides(turns.cos)
    kernels.turned[(x.shape[0] * x.shape[1] * len(parts),)](
        x,
        given[-1],
        norm.weight,
        parts[-1][1].weight,
        made[0],
        made[-1],
        cos,
        sin,
        *strides,
        x.shape[1],
        x.shape[2],
        half,
        _eps(norm),
        BOTH=len(parts) == 2,
        TURNED=turns is not None,
        PAIRED=turns is not None and turns.paired,
        BLOCK=block,
        num_warps=_warps(2 * block),
    )
    return made


def launch_heads(mixed: Tensor, gates: Tensor | None, dtype: torch.dtype, rounded: bool) -> Tensor | Rows:
    """See `ops.joined`."""
    batch, count, tokens, size = mixed.shape
    if mixed.stride(3) != 1:
        mixed = mixed.contiguous()
    shape = (batch, tokens, count * size)
    out = None if rounded else torch.empty(shape, dtype=dtype, device=mixed.device)
    rows = _empty_rows(shape, mixed.device) if rounded else None
    block = triton.next_power_of_2(shape[2])
    kernels.heads[(batch * tokens,)](
        mixed,
        mixed.stride(0),
        mixed.stride(1),
        mixed.stride(2),
        mixed if gates is None else gates.contiguous(),
        mixed if out is None else out,
        mixed if rows is None else rows.values,
        mixed if rows is None else rows.scale,
        tokens,
        shape[2],
        size,
        GATED=gates is not None,
        ROUNDED=rounded,
        BLOCK=block,
        num_warps=_warps(block),
    )
    made = _read(out, rows)
    assert made is not None
    return made


def launch_activated(x: Tensor) -> Rows:
    """GELU of `[B, N, D]`, in fp8."""
    x = x.contiguous()
    rows = _empty_rows(x.shape, x.device)
    block = triton.next_power_of_2(x.shape[2])
    kernels.activated[(x.shape[0] * x.shape[1],)](
        x, rows.values, rows.scale, x.shape[2], BLOCK=block, num_warps=_warps(block)
    )
    return rows


def _empty_rows(shape: tuple[int, ...], device: torch.device) -> Rows:
    values = torch.empty(shape, dtype=FP8, device=device)
    return Rows(values, torch.empty((*shape[:2], 1), dtype=torch.float32, device=device))


def _arguments(modulation: Modulation | None, like: Tensor) -> tuple[Any, ...]:
    """Table, steps, and the steps' strides by batch and token; 0 where there is one for all."""
    if modulation is None:
        return like, like, 0, 0
    steps = modulation.steps
    if steps.stride(2) != 1:
        steps = steps.contiguous()
    by_batch, by_token = (steps.stride(dim) if steps.shape[dim] > 1 else 0 for dim in (0, 1))
    return modulation.table.contiguous(), steps, by_batch, by_token


def _strides(turns: Tensor) -> tuple[int, ...]:
    return tuple(turns.stride(dim) if turns.shape[dim] > 1 else 0 for dim in range(4))


def _warps(block: int) -> int:
    return max(1, min(MOST_WARPS, block // WIDTH_OF_A_WARP))
