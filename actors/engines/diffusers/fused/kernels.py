"""Triton kernels, one program to a row of tokens: numbers are read once, computed in float32 and rounded
once.

Block sizes follow from the width alone and nothing is tuned at run time, so that equal cards make equal
bytes, and a token's do not depend on how many there are.
"""

from __future__ import annotations

import triton
import triton.language as tl

LARGEST = tl.constexpr(448.0)
SMALLEST_SCALE = tl.constexpr(1e-12)


@triton.jit
def _store_rounded(values, inside, at, row, values_ptr, scale_ptr):
    largest = tl.max(tl.where(inside, tl.abs(values), 0.0), axis=0)
    scale = tl.maximum(tl.div_rn(largest, LARGEST), SMALLEST_SCALE)
    rounded = tl.minimum(tl.maximum(values * tl.div_rn(1.0, scale), -LARGEST), LARGEST)
    tl.store(values_ptr + at, rounded.to(values_ptr.dtype.element_ty), mask=inside)
    tl.store(scale_ptr + row, scale)


@triton.jit
def _modulation(table_ptr, steps_ptr, batch, token, step_b, step_n, column, inside):
    own = tl.load(table_ptr + column, mask=inside, other=0.0).to(tl.float32)
    given = tl.load(steps_ptr + batch * step_b + token * step_n + column, mask=inside, other=0.0)
    return own + given.to(tl.float32)


@triton.jit
def step(
    x_ptr, x_stride, added_ptr, sum_ptr, plain_ptr, values_ptr, scales_ptr,
    gate_table, gate_steps, gate_b, gate_n,
    scale_table, scale_steps, scale_b, scale_n,
    shift_table, shift_steps, shift_b, shift_n,
    tokens, width, eps,
    ADDED: tl.constexpr, GATED: tl.constexpr, NORMED: tl.constexpr, MODULATED: tl.constexpr,
    PLAIN: tl.constexpr, ROUNDED: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """x + added (1 or gate), stored as the sum; its RMS norm times 1 + scale, plus shift, stored as it is, in
    fp8, or both."""
    row = tl.program_id(0).to(tl.int64)
    batch, token = row // tokens, row % tokens
    column = tl.arange(0, BLOCK)
    inside = column < width
    at = row * width + column
    x = tl.load(x_ptr + row * x_stride + column, mask=inside, other=0.0).to(tl.float32)
    if ADDED:
        added = tl.load(added_ptr + at, mask=inside, other=0.0).to(tl.float32)
        if GATED:
            added *= _modulation(gate_table, gate_steps, batch, token, gate_b, gate_n, column, inside)
        rounded = (x + added).to(sum_ptr.dtype.element_ty)
        tl.store(sum_ptr + at, rounded, mask=inside)
        x = rounded.to(tl.float32)
    if NORMED:
        x *= tl.rsqrt(tl.sum(x * x, axis=0) / width + eps)
    if MODULATED:
        scale = _modulation(scale_table, scale_steps, batch, token, scale_b, scale_n, column, inside)
        shift = _modulation(shift_table, shift_steps, batch, token, shift_b, shift_n, column, inside)
        x = x * (1.0 + scale) + shift
    if PLAIN:
        tl.store(plain_ptr + at, x.to(plain_ptr.dtype.element_ty), mask=inside)
    if ROUNDED:
        _store_rounded(x, inside, at, row, values_ptr, scales_ptr)


@triton.jit
def turned(
    query_ptr, key_ptr, query_weight, key_weight, query_out, key_out, cos_ptr, sin_ptr,
    turn_b, turn_h, turn_n, turn_d,
    tokens, width, half, eps,
    BOTH: tl.constexpr, TURNED: tl.constexpr, PAIRED: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """The RMS norm over all heads, and the rotation of each head's pairs: neighbours (PAIRED), or the first
    half with the second. Of queries and keys in turn, which share their angles, or of one of them."""
    row = tl.program_id(0).to(tl.int64)
    x_ptr, weight_ptr, out_ptr = query_ptr, query_weight, query_out
    if BOTH:
        if row % 2 == 1:
            x_ptr, weight_ptr, out_ptr = key_ptr, key_weight, key_out
        row = row // 2
    batch, token = row // tokens, row % tokens
    pair = tl.arange(0, BLOCK)
    inside = pair < width // 2
    head, place = pair // half, pair % half
    if PAIRED:
        first = 2 * pair
        second = first + 1
    else:
        first = head * 2 * half + place
        second = first + half
    a = tl.load(x_ptr + row * width + first, mask=inside, other=0.0).to(tl.float32)
    b = tl.load(x_ptr + row * width + second, mask=inside, other=0.0).to(tl.float32)
    factor = tl.rsqrt(tl.sum(a * a + b * b, axis=0) / width + eps)
    a *= factor * tl.load(weight_ptr + first, mask=inside, other=0.0).to(tl.float32)
    b *= factor * tl.load(weight_ptr + second, mask=inside, other=0.0).to(tl.float32)
    if TURNED:
        at = batch * turn_b + head * turn_h + token * turn_n + place * turn_d
        cos = tl.load(cos_ptr + at, mask=inside, other=0.0).to(tl.float32)
        sin = tl.load(sin_ptr + at, mask=inside, other=0.0).to(tl.float32)
        turned_a = a * cos - b * sin
        b = b * cos + a * sin
        a = turned_a
    tl.store(out_ptr + row * width + first, a.to(out_ptr.dtype.element_ty), mask=inside)
    tl.store(out_ptr + row * width + second, b.to(out_ptr.dtype.element_ty), mask=inside)


@triton.jit
def heads(
    x_ptr, x_b, x_h, x_n, logits_ptr, plain_ptr, values_ptr, scales_ptr,
    tokens, width, size,
    GATED: tl.constexpr, ROUNDED: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Heads side by side, each times twice the sigmoid of its gate; as they are or in fp8."""
    row = tl.program_id(0).to(tl.int64)
    batch, token = row // tokens, row % tokens
    column = tl.arange(0, BLOCK)
    inside = column < width
    head, place = column // size, column % size
    at = row * width + column
    x = tl.load(x_ptr + batch * x_b + head * x_h + token * x_n + place, mask=inside, other=0.0)
    x = x.to(tl.float32)
    if GATED:
        count = width // size
        gate = tl.load(logits_ptr + row * count + head, mask=inside, other=0.0).to(tl.float32)
        x *= 2.0 * tl.sigmoid(gate)
    if ROUNDED:
        _store_rounded(x, inside, at, row, values_ptr, scales_ptr)
    else:
        tl.store(plain_ptr + at, x.to(plain_ptr.dtype.element_ty), mask=inside)


@triton.jit
def activated(x_ptr, values_ptr, scales_ptr, width, BLOCK: tl.constexpr):
    """GELU by its tanh, in fp8."""
    row = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, BLOCK)
    inside = column < width
    at = row * width + column
    x = tl.load(x_ptr + at, mask=inside, other=0.0).to(tl.float32)
    inner = 0.7978845608028654 * (x + 0.044715 * x * x * x)
    # tanh(u) = 2 sigmoid(2 u) - 1
    x = x * tl.sigmoid(2.0 * inner)
    _store_rounded(x, inside, at, row, values_ptr, scales_ptr)
