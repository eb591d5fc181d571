"""The transformer's forward pass for training: diffusers' function of the same weights, in fewer passes.

Noise levels are the same for all tokens of a latent slot, so the modulation is computed per slot and
broadcast.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import nn

from tools.train_tiny.transformer.geometry import to_latents, to_tokens

if TYPE_CHECKING:
    from diffusers import LTX2VideoTransformer3DModel
    from diffusers.models.transformers.transformer_ltx2 import LTX2Attention, LTX2VideoTransformerBlock

Rope = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class Context:
    """What the words say to the picture [B, W, 256] and to the sound [B, W, 96]; `mask` [B, W] is True where
    there is a word.
    """

    picture: torch.Tensor
    sound: torch.Tensor
    mask: torch.Tensor


@dataclass(frozen=True)
class Picture:
    """Noisy video latents [B, 128, T, h, w] with their noise levels `sigma` [B, T], the pass's own level
    `level` [B], token coordinates [B, 3, T*h*w] in seconds and pixels, and `marks` [B, T]: 1 = told to be a
    single frame.
    """

    latents: torch.Tensor
    sigma: torch.Tensor
    level: torch.Tensor
    coords: torch.Tensor
    marks: torch.Tensor


@dataclass(frozen=True)
class Sound:
    """Noisy audio latents [B, L, 128] with their noise levels `sigma` [B, L], the pass's own `level` [B], and
    the token middles [B, L] in seconds.
    """

    latents: torch.Tensor
    sigma: torch.Tensor
    level: torch.Tensor
    coords: torch.Tensor


def velocity(
    model: LTX2VideoTransformer3DModel,
    context: Context,
    picture: Picture,
    sound: Sound,
    isolated: bool = False,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Velocities [B, 128, T, h, w] and [B, L, 128]; `isolated` keeps picture and sound apart."""
    slots = picture.sigma.shape[1]
    dtype = picture.latents.dtype if picture.latents.device.type == "cpu" else torch.bfloat16
    video = model.proj_in(to_tokens(picture.latents)).unflatten(1, (slots, -1))
    marker = picture.marks[:, :, None, None] * model.keyframes_abs_pos_embedding
    video = video + marker.to(video.dtype)
    audio = model.audio_proj_in(sound.latents)
    ropes = _Ropes.of(model, picture.coords, sound.coords, dtype)
    times = _Times.of(model, picture, sound)
    for block in model.transformer_blocks:
        video, audio = _layer(block, video, audio, context, times, ropes, isolated=isolated)
    video = _out(model.proj_out, video, model.scale_shift_table, times.video_embedded)
    audio = _out(model.audio_proj_out, audio[:, :, None], model.audio_scale_shift_table, times.audio_embedded)
    return to_latents(video.flatten(1, 2), *picture.latents.shape[3:]), audio[:, :, 0]


@dataclass(frozen=True)
class _Ropes:
    """Cosines and signed sines of both streams, in their own attention and across."""

    video: Rope
    audio: Rope
    across_video: Rope
    across_audio: Rope

    @classmethod
    def of(
        cls,
        model: LTX2VideoTransformer3DModel,
        coords: torch.Tensor,
        heard: torch.Tensor,
        dtype: torch.dtype,
    ) -> _Ropes:
        with torch.autocast(coords.device.type, enabled=False), torch.no_grad():
            video, audio = model.rope(coords), model.audio_rope(heard[:, None])
            across = model.cross_attn_rope(coords[:, :1]), model.cross_attn_audio_rope(heard[:, None])
        return cls(*(_signed(rope, dtype) for rope in (video, audio, *across)))


def _signed(rope: Rope, dtype: torch.dtype) -> Rope:
    """Halves [B, H, N, d/2] -> whole heads [B, H, N, d] for `_rotate`."""
    cos, sin = (part.to(dtype) for part in rope)
    return torch.cat([cos, cos], -1), torch.cat([-sin, sin], -1)


@dataclass(frozen=True)
class _Times:
    """Modulation from the noise levels: by slot for the picture, by token for the sound, by sample across."""

    video: torch.Tensor
    video_embedded: torch.Tensor
    audio: torch.Tensor
    audio_embedded: torch.Tensor
    words_video: torch.Tensor
    words_audio: torch.Tensor
    across_video: torch.Tensor
    across_audio: torch.Tensor
    gate_video: torch.Tensor
    gate_audio: torch.Tensor

    @classmethod
    def of(cls, model: LTX2VideoTransformer3DModel, picture: Picture, sound: Sound) -> _Times:
        seen, heard = picture.level * 1000, sound.level * 1000
        return cls(
            *_embedded(model.time_embed, picture.sigma * 1000),
            *_embedded(model.audio_time_embed, sound.sigma * 1000),
            _embedded(model.prompt_adaln, seen[:, None])[0],
            _embedded(model.audio_prompt_adaln, heard[:, None])[0],
            _embedded(model.av_cross_attn_video_scale_shift, heard[:, None])[0],
            _embedded(model.av_cross_attn_audio_scale_shift, seen[:, None])[0],
            _embedded(model.av_cross_attn_video_a2v_gate, heard[:, None])[0],
            _embedded(model.av_cross_attn_audio_v2a_gate, seen[:, None])[0],
        )


def _embedded(embedder: nn.Module, timestep: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Modulation [B, T, n * D] and embedding [B, T, D] of timesteps [B, T]."""
    modulation, embedding = embedder(timestep.flatten(), hidden_dtype=torch.float32)
    return modulation.unflatten(0, timestep.shape), embedding.unflatten(0, timestep.shape)


def _mod(table: torch.Tensor, times: torch.Tensor, dtype: torch.dtype) -> tuple[torch.Tensor, ...]:
    """One tensor [B, T, D] per row of `table` [n, D]."""
    rows = table + times.unflatten(2, (len(table), -1))
    return rows.to(dtype).unbind(2)


def _layer(
    block: LTX2VideoTransformerBlock,
    video: torch.Tensor,
    audio: torch.Tensor,
    context: Context,
    times: _Times,
    ropes: _Ropes,
    *,
    isolated: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
    """One block on video tokens by slot [B, T, h*w, D] and audio tokens [B, L, D']."""
    seen = [m[:, :, None] for m in _mod(block.scale_shift_table, times.video, video.dtype)]
    heard = list(_mod(block.audio_scale_shift_table, times.audio, audio.dtype))
    video = _alone(block.attn1, video, seen[:3], ropes.video)
    audio = _alone(block.audio_attn1, audio, heard[:3], ropes.audio)
    words, spoken = _words(block, context, times, video.dtype)
    mask = context.mask[:, None, None]
    video = _read(block.attn2, video, seen[6:], words, mask)
    audio = _read(block.audio_attn2, audio, heard[6:], spoken, mask)
    if not isolated:
        video, audio = _meet(block, video, audio, times, ropes)
    video = torch.addcmul(video, block.ff(_shown(video, seen[3], seen[4])), seen[5])
    audio = torch.addcmul(audio, block.audio_ff(_shown(audio, heard[3], heard[4])), heard[5])
    return video, audio


def _alone(attn: LTX2Attention, x: torch.Tensor, mods: list[torch.Tensor], rope: Rope) -> torch.Tensor:
    """Self-attention with its residual."""
    shift, scale, gate = mods
    normal = _shown(x, shift, scale).reshape(x.shape[0], -1, x.shape[-1])
    return torch.addcmul(x, _attention(attn, normal, normal, rope, rope).view_as(x), gate)


def _words(
    block: LTX2VideoTransformerBlock, context: Context, times: _Times, dtype: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor]:
    """The words as this block shows them to picture and sound."""
    shift, scale = _mod(block.prompt_scale_shift_table, times.words_video, dtype)
    heard_shift, heard_scale = _mod(block.audio_prompt_scale_shift_table, times.words_audio, dtype)
    seen = torch.addcmul(shift, context.picture.to(dtype), 1 + scale)
    return seen, torch.addcmul(heard_shift, context.sound.to(dtype), 1 + heard_scale)


def _read(
    attn: LTX2Attention,
    x: torch.Tensor,
    mods: list[torch.Tensor],
    words: torch.Tensor,
    mask: torch.Tensor,
) -> torch.Tensor:
    """Attention to the words with its residual."""
    shift, scale, gate = mods
    normal = _shown(x, shift, scale).reshape(x.shape[0], -1, x.shape[-1])
    return torch.addcmul(x, _attention(attn, normal, words, mask=mask).view_as(x), gate)


def _meet(
    block: LTX2VideoTransformerBlock,
    video: torch.Tensor,
    audio: torch.Tensor,
    times: _Times,
    ropes: _Ropes,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Picture attends to sound and sound to picture, each to the other as it was before."""
    table, heard_table = (
        block.video_a2v_cross_attn_scale_shift_table,
        block.audio_a2v_cross_attn_scale_shift_table,
    )
    seen = _mod(table[:4], times.across_video, video.dtype)
    heard = _mod(heard_table[:4], times.across_audio, audio.dtype)
    (gate,) = _mod(table[4:], times.gate_video, video.dtype)
    (heard_gate,) = _mod(heard_table[4:], times.gate_audio, audio.dtype)
    flat, quiet = _norm(video.flatten(1, 2)), _norm(audio)
    # The rows are scale, shift for picture from sound, then scale, shift for sound from picture.
    to_video = _attention(
        block.audio_to_video_attn,
        torch.addcmul(seen[1], flat, 1 + seen[0]),
        torch.addcmul(heard[1], quiet, 1 + heard[0]),
        ropes.across_video,
        ropes.across_audio,
    )
    to_audio = _attention(
        block.video_to_audio_attn,
        torch.addcmul(heard[3], quiet, 1 + heard[2]),
        torch.addcmul(seen[3], flat, 1 + seen[2]),
        ropes.across_audio,
        ropes.across_video,
    )
    video = torch.addcmul(video, to_video.view_as(video), gate[:, :, None])
    return video, torch.addcmul(audio, to_audio, heard_gate)


def _norm(hidden: torch.Tensor) -> torch.Tensor:
    with torch.autocast(hidden.device.type, enabled=False):
        return F.rms_norm(hidden, hidden.shape[-1:], eps=1e-6)


def _shown(hidden: torch.Tensor, shift: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    return torch.addcmul(shift, _norm(hidden), 1 + scale)


def _attention(
    attn: LTX2Attention,
    x: torch.Tensor,
    source: torch.Tensor,
    rope: Rope | None = None,
    key_rope: Rope | None = None,
    mask: torch.Tensor | None = None,
) -> torch.Tensor:
    """Gated attention of x [B, N, D] to source [B, M, D']."""
    q, k, v = attn.to_q(x), attn.to_k(source), attn.to_v(source)
    with torch.autocast(x.device.type, enabled=False):
        q = F.rms_norm(q, q.shape[-1:], attn.norm_q.weight.to(q.dtype), 1e-6)
        k = F.rms_norm(k, k.shape[-1:], attn.norm_k.weight.to(k.dtype), 1e-6)
    q, k, v = (t.unflatten(2, (attn.heads, -1)).transpose(1, 2) for t in (q, k, v))
    if rope is not None and key_rope is not None:
        q, k = _rotate(q, rope), _rotate(k, key_rope)
    mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2)
    gates = 2 * torch.sigmoid(attn.to_gate_logits(x))
    out: torch.Tensor = attn.to_out[0]((mixed * gates[..., None].to(mixed.dtype)).flatten(2))
    return out


def _rotate(x: torch.Tensor, rope: Rope) -> torch.Tensor:
    """Turn the two halves of each head of x [B, H, N, d]."""
    cos, signed_sin = rope
    return torch.addcmul(x * cos, x.roll(x.shape[-1] // 2, -1), signed_sin)


def _out(
    projection: nn.Linear, hidden: torch.Tensor, table: torch.Tensor, embedded: torch.Tensor
) -> torch.Tensor:
    """Hidden [B, T, n, D] -> velocity [B, T, n, C]."""
    rows = table + embedded[:, :, None]
    shift, scale = (row[:, :, None] for row in rows.to(hidden.dtype).unbind(2))
    with torch.autocast(hidden.device.type, enabled=False):
        normal = F.layer_norm(hidden, hidden.shape[-1:], eps=1e-6)
    out: torch.Tensor = projection(torch.addcmul(shift, normal, 1 + scale))
    return out
