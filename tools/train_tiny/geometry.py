"""Token layout and rope coordinates of video latents and of appended guides, as ComfyUI presents them."""

from __future__ import annotations

from collections.abc import Sequence

import torch

FRAME_RATE = 25.0


def slot_frame(slot: torch.Tensor) -> torch.Tensor:
    """First pixel frame of a latent slot: slot 0 is frame 0, slot i starts at frame 8i - 7."""
    return (slot * 8 - 7).clamp(min=0)


def coords_at(frames: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Pixel coordinates [B, 3, F*h*w] (frame, y, x) of latents that start at pixel frames [B, F], h x w
    tokens each.
    """
    batch, count = frames.shape
    y = torch.arange(height, device=frames.device) * 32
    x = torch.arange(width, device=frames.device) * 32
    grid = torch.zeros(batch, 3, count, height, width, device=frames.device)
    grid[:, 0] = frames[:, :, None, None]
    grid[:, 1] = y[:, None]
    grid[:, 2] = x[None, :]
    return grid.flatten(2)


def slot_coords(slots: int, height: int, width: int, device: torch.device | str = "cpu") -> torch.Tensor:
    """Coordinates [1, 3, slots*h*w] of a clip of `slots` latents."""
    return coords_at(slot_frame(torch.arange(slots, device=device))[None], height, width)


def guide_coords(
    frames: Sequence[int], height: int, width: int, device: torch.device | str = "cpu"
) -> torch.Tensor:
    """Coordinates [1, 3, len(frames)*h*w] of guide latents at the given pixel frames."""
    return coords_at(torch.tensor([list(frames)], device=device), height, width)


def rope(coords: torch.Tensor) -> torch.Tensor:
    """Pixel coordinates -> what the transformer's rope takes: the time in seconds."""
    return torch.cat([coords[:, :1] / FRAME_RATE, coords[:, 1:]], dim=1)


def to_tokens(latents: torch.Tensor) -> torch.Tensor:
    """[B, C, T, h, w] -> [B, T*h*w, C]."""
    return latents.flatten(2).transpose(1, 2)


def to_latents(tokens: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """[B, T*h*w, C] -> [B, C, T, h, w]."""
    return tokens.transpose(1, 2).unflatten(2, (-1, height, width))
