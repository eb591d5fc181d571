"""The transformer's forward pass for training: diffusers' function of the same weights, in fewer passes.

Noise levels are the same for all tokens of a latent slot, so the modulation is computed per slot and
broadcast.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from diffusers import LTXVideoTransformer3DModel
from diffusers.models.transformers.transformer_ltx import LTXAttention, LTXVideoTransformerBlock

from tools.train_tiny.geometry import to_latents, to_tokens

Rope = tuple[torch.Tensor, torch.Tensor]


def velocity(
    model: LTXVideoTransformer3DModel,
    text: tuple[torch.Tensor, torch.Tensor],
    x: torch.Tensor,
    sigma: torch.Tensor,
    coords: torch.Tensor,
) -> torch.Tensor:
    """Velocity [B, C, T, h, w] of latents `x` whose slots have noise levels `sigma` [B, T]."""
    batch, slots = sigma.shape
    tokens = to_tokens(x)
    rope = _rope(model, coords, x.dtype if x.device.type == "cpu" else torch.bfloat16)
    hidden = model.proj_in(tokens).unflatten(1, (slots, -1))
    temb, embedded = model.time_embed((sigma * 1000).flatten(), batch_size=batch, hidden_dtype=hidden.dtype)
    context = model.caption_projection(text[0])
    bias = ((1 - text[1].to(hidden.dtype)) * -10000.0)[:, None, None, :]
    for block in model.transformer_blocks:
        hidden = _layer(block, hidden, temb, context, rope, bias)
    table = model.scale_shift_table + embedded.view(batch, slots, 1, -1)
    shift, scale = table.to(hidden.dtype)[:, :, :, None].unbind(2)
    with torch.autocast(x.device.type, enabled=False):
        normal = F.layer_norm(hidden, hidden.shape[-1:], eps=1e-6)
    out = model.proj_out(torch.addcmul(shift, normal, 1 + scale))
    return to_latents(out.flatten(1, 2), *x.shape[3:])


def _layer(
    block: LTXVideoTransformerBlock,
    hidden: torch.Tensor,
    temb: torch.Tensor,
    context: torch.Tensor,
    rope: Rope,
    bias: torch.Tensor,
) -> torch.Tensor:
    """One block on tokens by slot [B, T, h*w, D]; `temb` [B*T, 1, 6*D] holds the modulation of each slot."""
    batch, slots = hidden.shape[:2]
    table = block.scale_shift_table + temb.view(batch, slots, 6, -1)
    shift1, scale1, gate1, shift2, scale2, gate2 = table.to(hidden.dtype)[:, :, :, None].unbind(2)
    normal = torch.addcmul(shift1, _norm(hidden), 1 + scale1)
    mixed = _attention(block.attn1, normal.flatten(1, 2), None, rope, None)
    hidden = torch.addcmul(hidden, mixed.view_as(hidden), gate1)
    mixed = _attention(block.attn2, hidden.flatten(1, 2), context, None, bias)
    hidden = hidden + mixed.view_as(hidden)
    normal = torch.addcmul(shift2, _norm(hidden), 1 + scale2)
    return torch.addcmul(hidden, block.ff(normal), gate2)


def _norm(hidden: torch.Tensor) -> torch.Tensor:
    with torch.autocast(hidden.device.type, enabled=False):
        return F.rms_norm(hidden, hidden.shape[-1:], eps=1e-6)


def _attention(
    attn: LTXAttention,
    x: torch.Tensor,
    context: torch.Tensor | None,
    rope: Rope | None,
    bias: torch.Tensor | None,
) -> torch.Tensor:
    source = x if context is None else context
    q, k, v = attn.to_q(x), attn.to_k(source), attn.to_v(source)
    with torch.autocast(x.device.type, enabled=False):
        q = F.rms_norm(q, q.shape[-1:], attn.norm_q.weight.to(q.dtype), 1e-5)
        k = F.rms_norm(k, k.shape[-1:], attn.norm_k.weight.to(k.dtype), 1e-5)
    if rope is not None:
        q, k = _rotate(q, rope), _rotate(k, rope)
    q, k, v = (t.unflatten(2, (attn.heads, -1)).transpose(1, 2) for t in (q, k, v))
    mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=None if bias is None else bias.to(q.dtype))
    out: torch.Tensor = attn.to_out[0](mixed.transpose(1, 2).flatten(2))
    return out


def _rope(model: LTXVideoTransformer3DModel, coords: torch.Tensor, dtype: torch.dtype) -> Rope:
    """Cosines and signed sines [B, N, channels] of the transformer's rotary embedding."""
    rope = model.rope
    frame, y, x = coords.unbind(1)
    grid = torch.stack([frame / rope.base_num_frames, y / rope.base_height, x / rope.base_width], dim=-1)
    exponents = torch.linspace(0, math.log(rope.theta), rope.dim // 6, device=coords.device)
    angles = (grid[..., None] * 2 - 1) * (exponents.exp() * (math.pi / 2))
    angles = F.pad(angles.transpose(-1, -2).flatten(2), (rope.dim % 6 // 2, 0))
    cos, sin = angles.cos().to(dtype), angles.sin().to(dtype)
    return torch.stack([cos, cos], -1).flatten(2), torch.stack([-sin, sin], -1).flatten(2)


def _rotate(x: torch.Tensor, rope: Rope) -> torch.Tensor:
    """Turn the channel pairs of x [B, N, channels]."""
    cos, signed_sin = rope
    swapped = x.unflatten(2, (-1, 2)).flip(-1).flatten(2)
    return torch.addcmul(x * cos, swapped, signed_sin)
