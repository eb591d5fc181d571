"""A bank of encoded videos: what the transformer and the upsampler learn from."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from diffusers import AutoencoderKLLTXVideo

from tools.train_tiny.prompts import UNNAMED
from tools.train_tiny.training import Run
from tools.train_tiny.world import Frame, Scenes, draw_scenes, render

SLOTS = 25
"""Latents per video: 193 frames, long enough to cut chunks from its middle."""


def encode(vae: AutoencoderKLLTXVideo, clip: torch.Tensor) -> torch.Tensor:
    """Clip [B, 3, F, H, W] in [-1, 1] -> normalised latents [B, 128, T, h, w] float32."""
    latents = vae.encoder(clip)[:, :128].float()
    return (latents - vae.latents_mean.view(1, -1, 1, 1, 1)) / vae.latents_std.view(1, -1, 1, 1, 1)


def decode(vae: AutoencoderKLLTXVideo, latents: torch.Tensor) -> torch.Tensor:
    """Normalised latents -> clip in [-1, 1]."""
    latents = latents * vae.latents_std.view(1, -1, 1, 1, 1) + vae.latents_mean.view(1, -1, 1, 1, 1)
    return vae.decoder(latents).float()


@dataclass
class Bank:
    """Videos of one size. `latents[n, :, i]` were encoded in context, `stills[n, :, i]` is frame 8i alone.

    Both are [N, 128, SLOTS, h, w] bfloat16, normalised. `facts` [N, 4] names colour, shape, background and
    the direction, `UNNAMED` where the heading is none of the eight.
    """

    frame: Frame
    latents: torch.Tensor
    stills: torch.Tensor
    facts: torch.Tensor
    filled: int = 0
    _next: int = 0

    @classmethod
    def empty(cls, frame: Frame, capacity: int, device: torch.device) -> Bank:
        shape = (capacity, 128, SLOTS, frame.height // 32, frame.width // 32)
        latents = torch.empty(shape, dtype=torch.bfloat16, device=device)
        return cls(
            frame,
            latents,
            torch.empty_like(latents),
            torch.zeros(capacity, 4, dtype=torch.int64, device=device),
        )

    @torch.no_grad()
    def add(self, vae: AutoencoderKLLTXVideo, count: int, generator: torch.Generator, run: Run) -> None:
        """Encode `count` new videos over the oldest places."""
        named = torch.rand(count, generator=generator, device=run.device) < 0.65
        scenes = draw_scenes(count, self.frame, generator, named)
        clip, _ = render(scenes, torch.arange(8 * SLOTS - 7, device=run.device), self.frame)
        frames = clip[:, :, ::8].transpose(1, 2).flatten(0, 1)[:, :, None]
        with run.autocast:
            latents, stills = encode(vae, clip), encode(vae, frames)
        stills = stills[:, :, 0].unflatten(0, (count, SLOTS)).transpose(1, 2)
        where = (torch.arange(count, device=run.device) + self._next) % len(self.latents)
        self.latents[where] = latents.to(torch.bfloat16)
        self.stills[where] = stills.to(torch.bfloat16)
        self.facts[where] = facts(scenes, named)
        self._next = (self._next + count) % len(self.latents)
        self.filled = min(self.filled + count, len(self.latents))

    def fill(self, vae: AutoencoderKLLTXVideo, seconds: float, generator: torch.Generator, run: Run) -> None:
        """Add videos until the bank is full or `seconds` have passed; at least one batch."""
        start, batch = (
            time.perf_counter(),
            run.batch(max(2, 16 * 128 * 128 // (self.frame.height * self.frame.width))),
        )
        while self.filled == 0 or (self.filled < len(self.latents) and time.perf_counter() - start < seconds):
            self.add(vae, batch, generator, run)
            if run.device.type == "cuda":
                torch.cuda.synchronize()
        print(f"bank {self.frame}: {self.filled} videos in {time.perf_counter() - start:.1f} s", flush=True)


def facts(scenes: Scenes, named: torch.Tensor) -> torch.Tensor:
    """What a sentence may say about each scene [B, 4]."""
    direction = torch.where(named, scenes.direction, torch.full_like(scenes.direction, UNNAMED))
    return torch.stack([scenes.colour, scenes.shape, scenes.background, direction], dim=1)
