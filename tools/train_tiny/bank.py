"""A bank of encoded videos: what the transformer and the upsampler learn from."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from diffusers import AutoencoderKLLTXVideo

from tools.train_tiny.prompts import UNNAMED
from tools.train_tiny.training import Recorder, Run
from tools.train_tiny.world import Frame, Scenes, draw_scenes, render

NAMED = 0.75
"""Share of the videos whose heading is one of the eight directions."""
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
    the direction, `UNNAMED` where the heading is none of the eight. `cursor` [] int64 is the next place to
    write to.
    """

    frame: Frame
    latents: torch.Tensor
    stills: torch.Tensor
    facts: torch.Tensor
    cursor: torch.Tensor

    @classmethod
    def empty(cls, frame: Frame, capacity: int, device: torch.device) -> Bank:
        shape = (capacity, 128, SLOTS, frame.height // 32, frame.width // 32)
        latents = torch.zeros(shape, dtype=torch.bfloat16, device=device)
        names = torch.zeros(capacity, 4, dtype=torch.int64, device=device)
        return cls(frame, latents, torch.zeros_like(latents), names, names.new_zeros(()))

    def __len__(self) -> int:
        return len(self.latents)

    @property
    def batch(self) -> int:
        """Videos that are encoded at once."""
        return max(1, 8 * 128 * 128 // (self.frame.height * self.frame.width))

    @torch.no_grad()
    def add(self, vae: AutoencoderKLLTXVideo, run: Run) -> None:
        """Encode one batch of new videos over the oldest places."""
        named = torch.rand(self.batch, device=run.device) < NAMED
        scenes = draw_scenes(self.batch, self.frame, run.generator, named)
        clip, _ = render(scenes, torch.arange(8 * SLOTS - 7, device=run.device), self.frame)
        frames = clip[:, :, ::8].transpose(1, 2).flatten(0, 1)[:, :, None]
        with run.autocast:
            latents, stills = encode(vae, clip), encode(vae, frames)
        stills = stills[:, :, 0].unflatten(0, (self.batch, SLOTS)).transpose(1, 2)
        where = (torch.arange(self.batch, device=run.device) + self.cursor) % len(self)
        self.latents[where] = latents.to(torch.bfloat16)
        self.stills[where] = stills.to(torch.bfloat16)
        self.facts[where] = facts(scenes, named)
        self.cursor.add_(self.batch)

    def fill(self, vae: AutoencoderKLLTXVideo, record: Recorder, run: Run) -> None:
        """Encode as many videos as the bank holds."""
        start = time.perf_counter()
        for _ in range(-(-len(self) // self.batch)):
            self.refresh(vae, record, run)
        if run.device.type == "cuda":
            torch.cuda.synchronize()
        print(f"bank {self.frame}: {len(self)} videos in {time.perf_counter() - start:.1f} s", flush=True)

    def refresh(self, vae: AutoencoderKLLTXVideo, record: Recorder, run: Run) -> None:
        """`add` as a recorded step."""
        record(("bank", self.frame), lambda: self.add(vae, run))


def facts(scenes: Scenes, named: torch.Tensor) -> torch.Tensor:
    """What a sentence may say about each scene [B, 4]."""
    direction = torch.where(named, scenes.direction, torch.full_like(scenes.direction, UNNAMED))
    return torch.stack([scenes.colour, scenes.shape, scenes.background, direction], dim=1)
