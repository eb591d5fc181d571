"""On a CUDA device: Triton's kernels compute what torch's operations do, each token by itself."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from actors.engines.diffusers.fused import ops
from actors.engines.diffusers.fused.choice import kernels_here
from actors.engines.diffusers.fused.fp8 import Fp8Linear, Rows
from actors.engines.diffusers.fused.ops import Due, Modulation, Reading, Turns, modulations

pytestmark = pytest.mark.gpu

BATCH, TOKENS, WIDTH, HEADS = 2, 40, 96, 6
TOLERANCE, ROUNDED = 5e-3, 4e-2


@pytest.fixture(autouse=True)
def device() -> torch.device:
    if not torch.cuda.is_available() or kernels_here() != "triton":
        pytest.skip("needs a CUDA device, Triton and a C compiler")
    torch.manual_seed(0)
    return torch.device("cuda")


def _drawn(*shape: int) -> Tensor:
    return torch.randn(*shape, device="cuda").bfloat16()


def _difference(found: Any, wanted: Tensor) -> float:
    plain = found.values.float() * found.scale if isinstance(found, Rows) else found.float()
    return float((plain - wanted).norm() / wanted.norm())


@pytest.mark.parametrize("steps", [1, TOKENS])
@pytest.mark.parametrize("fp8", [False, True])
def test_a_step(steps: int, fp8: bool) -> None:
    x, made = _drawn(BATCH, TOKENS, WIDTH), _drawn(BATCH, TOKENS, WIDTH)
    gate, scale, shift = modulations(_drawn(3, WIDTH), _drawn(BATCH, steps, 3 * WIDTH))
    norm = torch.nn.RMSNorm(WIDTH, eps=1e-6, elementwise_affine=False)
    plain = _linear()
    layer = Fp8Linear(plain, torch.device("cuda")) if fp8 else plain
    readings = (None, Reading((layer,)), Reading((layer,), norm), Reading((layer,), norm, scale, shift))
    for due, reading in itertools.product((None, Due(made), Due(made, gate)), readings):
        found = ops.step(x, due, reading)
        in_full = ops.in_torch(x.float(), _due_in_full(due), _reading_in_full(reading))
        assert _difference(found[0], in_full[0]) < TOLERANCE
        if reading is not None:
            assert _difference(found[1], in_full[1]) < (ROUNDED if fp8 else TOLERANCE)
        # Of fewer tokens each comes to the same.
        few = ops.step(x[:, :7], _first_due(due), _first_reading(reading))
        for part, whole in zip(few, found, strict=True):
            assert part is None or torch.equal(_values(part), _values(whole)[:, :7])


def _linear() -> torch.nn.Linear:
    return torch.nn.Linear(WIDTH, WIDTH, device="cuda").bfloat16().requires_grad_(False)


def _values(x: Tensor | Rows) -> Tensor:
    return (x.values if isinstance(x, Rows) else x).float()


def _due_in_full(due: Due | None) -> Due | None:
    return due and Due(due.made.float(), _in_full(due.gate))


def _reading_in_full(reading: Reading | None) -> Reading | None:
    """Without fp8, by layers that are not."""
    if reading is None:
        return None
    return Reading((_linear(),), reading.norm, _in_full(reading.scale), _in_full(reading.shift))


def _in_full(step: Modulation | None) -> Modulation | None:
    return step and Modulation(step.table.float(), step.steps.float())


def _first_due(due: Due | None) -> Due | None:
    return due and Due(due.made[:, :7], _first_of(due.gate))


def _first_reading(reading: Reading | None) -> Reading | None:
    return reading and replace(reading, scale=_first_of(reading.scale), shift=_first_of(reading.shift))


def _first_of(step: Modulation | None) -> Modulation | None:
    return step and Modulation(step.table, step.steps[:, :7])


@pytest.mark.parametrize("paired", [True, False, None])
def test_queries_and_keys_are_normed_and_turned(paired: bool | None) -> None:
    norms = [torch.nn.RMSNorm(WIDTH, eps=1e-5, device="cuda").bfloat16().requires_grad_(False) for _ in "qk"]
    for norm in norms:
        norm.weight.copy_(_drawn(WIDTH))
    attn = SimpleNamespace(heads=HEADS, norm_q=norms[0], norm_k=norms[1])
    angles = torch.rand(1, HEADS, TOKENS, WIDTH // HEADS // 2, device="cuda") * 6
    turns = None if paired is None else Turns(angles.cos(), angles.sin(), paired, lambda x: x)
    query, key = _drawn(BATCH, TOKENS, WIDTH), _drawn(BATCH, TOKENS, WIDTH)
    found = ops.turned(attn, query, key, turns, turns)
    for made, x, norm in zip(found, (query, key), (attn.norm_q, attn.norm_k), strict=True):
        normed = torch.nn.functional.rms_norm(x.float(), (WIDTH,), norm.weight.float(), 1e-5)
        assert _difference(made, _rotated(normed, turns)) < TOLERANCE
    alone = ops.turned(attn, query, _drawn(BATCH, 5, WIDTH), turns, None)[0]
    assert torch.equal(alone, found[0])


def _rotated(x: Tensor, turns: Turns | None) -> Tensor:
    """By the definition: two numbers of a pair, turned by an angle."""
    if turns is None:
        return x
    heads = x.unflatten(2, (HEADS, -1)).transpose(1, 2)
    first, second = (heads[..., ::2], heads[..., 1::2]) if turns.paired else heads.chunk(2, dim=-1)
    a, b = first * turns.cos - second * turns.sin, second * turns.cos + first * turns.sin
    made = torch.stack([a, b], -1).flatten(-2) if turns.paired else torch.cat([a, b], -1)
    return made.transpose(1, 2).flatten(2)


@pytest.mark.parametrize("gated", [True, False])
def test_heads_are_joined(gated: bool) -> None:
    mixed = _drawn(BATCH, TOKENS, HEADS, WIDTH // HEADS).transpose(1, 2)
    gates = _drawn(BATCH, TOKENS, HEADS) if gated else None
    plain = _linear()
    wanted = mixed.float().transpose(1, 2)
    wanted = (wanted * 2 * gates.float().sigmoid()[..., None] if gates is not None else wanted).flatten(2)
    into: Callable[..., Any] = partial(ops.joined, mixed, gates, torch.bfloat16)
    assert _difference(into(plain), wanted) < TOLERANCE
    assert _difference(into(Fp8Linear(plain, torch.device("cuda"))), wanted) < ROUNDED


@pytest.mark.parametrize("fp8", [False, True])
def test_a_feed_forward(fp8: bool) -> None:
    from diffusers.models.attention import FeedForward

    ff: Any = FeedForward(WIDTH, activation_fn="gelu-approximate").cuda().bfloat16().requires_grad_(False)
    x = _drawn(BATCH, TOKENS, WIDTH)
    wanted = ff.float()(x.float())
    ff.bfloat16()
    if fp8:
        for parent, name in ((ff.net[0], "proj"), (ff.net, "2")):
            setattr(parent, name, Fp8Linear(getattr(parent, name), torch.device("cuda")))
    assert _difference(ops.fed_forward(ff, x), wanted) < (2 * ROUNDED if fp8 else 2 * TOLERANCE)
