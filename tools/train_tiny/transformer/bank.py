"""A bank of encoded films: what the transformer learns from."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from diffusers import AutoencoderKLLTX2Audio, AutoencoderKLLTXVideo

from tools.train_tiny.coders.audio_vae import encode_mel
from tools.train_tiny.procedural.prompts import UNNAMED
from tools.train_tiny.procedural.sound import WORLD_FRAMES_PER_S, audio_latents, bounces, mel_of
from tools.train_tiny.procedural.world import Frame, Scenes, draw_scenes, render

if TYPE_CHECKING:
    from tools.train_tiny.training import Recorder, Run

NAMED = 0.75
"""Share of the films whose heading is one of the eight directions."""
SLOTS = 25
"""Latents per film: 193 frames, long enough to cut chunks from its middle."""
FRAMES = 8 * SLOTS - 7
SWAYING = 4
"""One film in so many has a bent path."""


def encode(vae: AutoencoderKLLTXVideo, clip: torch.Tensor) -> torch.Tensor:
    """Clip [B, 3, F, H, W] in [-1, 1] -> normalised latents [B, 128, T, h, w] float32."""
    latents = vae.encoder(clip)[:, :128].float()
    return (latents - vae.latents_mean.view(1, -1, 1, 1, 1)) / vae.latents_std.view(1, -1, 1, 1, 1)


def decode(vae: AutoencoderKLLTXVideo, latents: torch.Tensor) -> torch.Tensor:
    """Normalised latents -> clip in [-1, 1]."""
    latents = latents * vae.latents_std.view(1, -1, 1, 1, 1) + vae.latents_mean.view(1, -1, 1, 1, 1)
    return vae.decoder(latents).float()


@dataclass(frozen=True)
class Codecs:
    """The frozen autoencoders of picture and sound."""

    video: AutoencoderKLLTXVideo
    audio: AutoencoderKLLTX2Audio


@dataclass(frozen=True)
class Format:
    """Size and frames per second of a bank's films."""

    frame: Frame
    rate: float = 25.0

    @property
    def audio(self) -> int:
        """Audio latents of a film."""
        return audio_latents(FRAMES, self.rate)


@dataclass
class Bank:
    """Films of one format. `latents[n, :, i]` were encoded in context, `stills[n, :, i]` is frame 8i alone.

    Both are [N, 128, SLOTS, h, w] bfloat16, normalised, and `sounds` [N, L, 128] likewise. `facts` [N, 4]
    names colour, shape, background and the direction, `UNNAMED` where the heading is none of the eight. Every
    `SWAYING`-th film is bent. `cursor` [] int64 is the next place to write to.
    """

    format: Format
    latents: torch.Tensor
    stills: torch.Tensor
    sounds: torch.Tensor
    facts: torch.Tensor
    cursor: torch.Tensor

    @classmethod
    def empty(cls, format: Format, capacity: int, device: torch.device) -> Bank:
        frame = format.frame
        shape = (capacity, 128, SLOTS, frame.height // 32, frame.width // 32)
        latents = torch.zeros(shape, dtype=torch.bfloat16, device=device)
        names = torch.zeros(capacity, 4, dtype=torch.int64, device=device)
        sounds = torch.zeros(capacity, format.audio, 128, dtype=torch.bfloat16, device=device)
        return cls(format, latents, torch.zeros_like(latents), sounds, names, names.new_zeros(()))

    def __len__(self) -> int:
        return len(self.latents)

    @property
    def batch(self) -> int:
        """Films that are encoded at once."""
        frame = self.format.frame
        return max(1, 8 * 128 * 128 // (frame.height * frame.width))

    @torch.no_grad()
    def add(self, codecs: Codecs, run: Run) -> None:
        """Encode one batch of new films over the oldest places."""
        where = (torch.arange(self.batch, device=run.device) + self.cursor) % len(self)
        bent = where % SWAYING == 0
        named = (torch.rand(self.batch, device=run.device) < NAMED) & ~bent
        frame = self.format.frame
        scenes = draw_scenes(self.batch, frame, run.generator, named, bent)
        when = torch.arange(FRAMES, device=run.device) * (WORLD_FRAMES_PER_S / self.format.rate)
        clip, _ = render(scenes, when, frame)
        frames = clip[:, :, ::8].transpose(1, 2).flatten(0, 1)[:, :, None]
        notes = bounces(scenes, FRAMES / self.format.rate + 0.1, frame)
        with run.autocast:
            latents, stills = encode(codecs.video, clip), encode(codecs.video, frames)
            sounds = encode_mel(codecs.audio, mel_of(notes, self.format.audio))
        stills = stills[:, :, 0].unflatten(0, (self.batch, SLOTS)).transpose(1, 2)
        self.latents[where] = latents.to(torch.bfloat16)
        self.stills[where] = stills.to(torch.bfloat16)
        self.sounds[where] = sounds.to(torch.bfloat16)
        self.facts[where] = facts(scenes, named)
        self.cursor.add_(self.batch)

    def fill(self, codecs: Codecs, record: Recorder, run: Run) -> None:
        """Encode as many films as the bank holds."""
        start = time.perf_counter()
        for _ in range(-(-len(self) // self.batch)):
            self.refresh(codecs, record, run)
        if run.device.type == "cuda":
            torch.cuda.synchronize()
        print(f"bank {self.format}: {len(self)} films in {time.perf_counter() - start:.1f} s", flush=True)

    def refresh(self, codecs: Codecs, record: Recorder, run: Run) -> None:
        """`add` as a recorded step."""
        record(("bank", self.format), lambda: self.add(codecs, run))


def facts(scenes: Scenes, named: torch.Tensor) -> torch.Tensor:
    """What a sentence may say about each scene [B, 4]."""
    direction = torch.where(named, scenes.direction, torch.full_like(scenes.direction, UNNAMED))
    return torch.stack([scenes.colour, scenes.shape, scenes.background, direction], dim=1)
