"""Where tokens stand: seconds and pixels of video latents, of stills and of sound, as LTX-2 counts them.

A latent slot of a clip covers [8i - 7, 8i + 1) frames, slot 0 the first frame alone; a still at frame f
covers [f, f + 1). The rope reads the middle of what a token covers.
"""

from __future__ import annotations

import torch

from tools.train_tiny.procedural.sound import HOP, MEL_PER_LATENT, SAMPLE_RATE


def slot_middle(slot: torch.Tensor) -> torch.Tensor:
    """Middle of latent slots in frames."""
    return torch.where(slot == 0, 0.5, 8.0 * slot - 3.0)


def still_middle(frame: torch.Tensor) -> torch.Tensor:
    """Middle of stills in frames."""
    return frame + 0.5


def grid(middle_s: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Coordinates [B, 3, T*h*w] (seconds, y, x in pixels) of latents whose middles [B, T] are in seconds."""
    batch, count = middle_s.shape
    y = torch.arange(height, device=middle_s.device) * 32 + 16
    x = torch.arange(width, device=middle_s.device) * 32 + 16
    out = torch.zeros(batch, 3, count, height, width, device=middle_s.device)
    out[:, 0] = middle_s[:, :, None, None]
    out[:, 1] = y[:, None]
    out[:, 2] = x[None, :]
    return out.flatten(2)


def sound_middle(count: int, shift_s: torch.Tensor) -> torch.Tensor:
    """Middles [B, count] in seconds of audio latents: the first covers one mel frame, every other four.

    `shift_s` [B] is by how much the sound's grid is late against the clip's first frame.
    """
    end = MEL_PER_LATENT * torch.arange(count, device=shift_s.device) + 1
    start = (end - MEL_PER_LATENT).clamp(min=0)
    return (start + end) / 2 * (HOP / SAMPLE_RATE) + shift_s[:, None]


def to_tokens(latents: torch.Tensor) -> torch.Tensor:
    """[B, C, T, h, w] -> [B, T*h*w, C]."""
    return latents.flatten(2).transpose(1, 2)


def to_latents(tokens: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """[B, T*h*w, C] -> [B, C, T, h, w]."""
    return tokens.transpose(1, 2).unflatten(2, (-1, height, width))
