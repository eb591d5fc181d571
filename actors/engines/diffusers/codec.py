"""Pixels <-> normalised latents through an LTX-Video VAE."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from actors.engines.latents import AS_TRAINED, DecodeSettings, tone_mapped, with_statistics_of
from actors.engines.transfer import DeviceFrames, deliver, to_device
from actors.ranks import dealt
from jobs.frames import SPATIAL, frames_of_latents

if TYPE_CHECKING:
    from actors.ranks import Ranks
    from jobs.planning.params import Tiles

DECODE_TIMESTEP, DECODE_NOISE = 0.05, 0.025
"""What timestep-conditioned VAEs (0.9.1 and later) decode with when their config is silent."""


class VideoCodec:
    """Wraps a diffusers `AutoencoderKLLTXVideo`; pixels are uint8, latents normalised float32."""

    def __init__(
        self, vae: Any, decode_timestep: float = DECODE_TIMESTEP, noise: float = DECODE_NOISE
    ) -> None:
        self.vae = vae
        self.decode_timestep = decode_timestep
        self.noise = noise

    @property
    def device(self) -> torch.device:
        return self.vae.device

    def to(self, device: torch.device) -> None:
        self.vae.to(device)

    def normalize(self, latents: Tensor) -> Tensor:
        """Raw VAE latents -> zero mean and unit variance per channel."""
        return (latents - self._statistic("latents_mean", latents)) / self._statistic("latents_std", latents)

    def unnormalize(self, latents: Tensor) -> Tensor:
        return latents * self._statistic("latents_std", latents) + self._statistic("latents_mean", latents)

    def encode(self, frames: np.ndarray) -> Tensor:
        """uint8 `[8k+1, H, W, 3]` -> `[1, C, k+1, h, w]`, the mode of the posterior."""
        return self._encoded(torch.from_numpy(np.array(frames)).to(self.device))

    def again(self, latents: Tensor, frame: int) -> Tensor:
        """One frame of a clip `[1, C, T, h, w]`, decoded and encoded again: `[1, C, 1, h, w]`."""
        pixels = to_uint8(self.decoded(self.prepare(latents)))
        return self._encoded(pixels[frame : frame + 1])

    def _encoded(self, pixels: Tensor) -> Tensor:
        clip = (pixels.permute(3, 0, 1, 2)[None].float() / 255.0) * 2.0 - 1.0
        return self.normalize(self.vae.encode(clip.to(self.vae.dtype)).latent_dist.mode().float())

    def shares(self, latents: int, tiles: Tiles | None) -> bool:
        """Whether the ranks of a gang share a decode of that many latents. A convolution over a part of a
        window may sum in another order: what is decoded at once is decoded by one."""
        return tiles is not None and len(tiles.spans(latents)) > 1

    def decode(
        self, latents: Tensor, how: DecodeSettings = AS_TRAINED, ranks: Ranks | None = None
    ) -> np.ndarray | DeviceFrames:
        """`[1, C, T, h, w]` -> uint8 `[8(T-1)+1, H, W, 3]`, rounded on the device; on a GPU they stay
        there."""
        return deliver(to_uint8(self.decoded(self.prepare(latents, how), how)))

    def decode_tiled(
        self,
        latents: Tensor,
        tiles: Tiles,
        how: DecodeSettings = AS_TRAINED,
        ranks: Ranks | None = None,
    ) -> np.ndarray | DeviceFrames:
        """As `decode`, in temporal tiles: less memory, not quite the same pixels.

        Neighbouring tiles share `overlap_latents`, half of which each of them throws away again. Decode noise
        does not depend on the tiles. Of several `ranks` each decodes some of the tiles.
        """
        prepared = self.prepare(latents, how)
        rows, columns = prepared.shape[3:]
        spans = tiles.spans(prepared.shape[2])
        keeps = [frames_of_latents(kept.shifted(-context.start)) for context, kept in spans]

        def tile(number: int) -> Tensor:
            context, keep = spans[number][0], keeps[number]
            own = replace(how, first=how.first + context.start)
            pixels = to_uint8(self.decoded(prepared[:, :, context.start : context.stop], own))
            return pixels[keep.start : keep.stop]

        like = torch.empty((0, SPATIAL * rows, SPATIAL * columns, 3), dtype=torch.uint8, device=self.device)
        return deliver(torch.cat(list(dealt(ranks, list(map(len, keeps)), tile, like))))

    def prepare(self, latents: Tensor, how: DecodeSettings = AS_TRAINED) -> Tensor:
        """On the device in the VAE's dtype, decode noise mixed in where the VAE wants it, tone-mapped,
        un-normalised."""
        latents = to_device(latents, self.device).float()
        if self.vae.config.timestep_conditioning:
            # Drawn on the CPU from the global generator, which the stage step has seeded.
            drawn = to_device(torch.randn(latents.shape), self.device)
            noise = self.noise if how.noise_scale is None else how.noise_scale
            latents = noise * drawn + (1.0 - noise) * latents
        latents = tone_mapped(latents, how.tone_map)
        return self.unnormalize(latents).to(self.vae.dtype)

    def decoded(self, prepared: Tensor, how: DecodeSettings = AS_TRAINED) -> Tensor:
        """What `prepare` made -> pixels `[1, 3, F, H, W]`, float32, about [-1, 1]."""
        timestep = None
        if self.vae.config.timestep_conditioning:
            level = self.decode_timestep if how.timestep is None else how.timestep
            timestep = torch.full((1,), level, device=self.device, dtype=self.vae.dtype)
        return self.vae.decoder(prepared, timestep).float()

    def _statistic(self, name: str, like: Tensor) -> Tensor:
        return getattr(self.vae, name).view(1, -1, 1, 1, 1).to(like.device, torch.float32)


def to_uint8(decoded: Tensor) -> Tensor:
    """Pixels `[1, 3, F, H, W]` in [-1, 1] -> uint8 `[F, H, W, 3]`, rounded where they are."""
    share = ((decoded[0] + 1.0) / 2.0).clamp_(0, 1)
    return share.mul_(255).round_().to(torch.uint8).permute(1, 2, 3, 0)


def upsample(codec: VideoCodec, upsampler: Any, latents: Tensor, adain: float = 0.0) -> Tensor:
    """A larger clip: un-normalise, latent upsampler, normalise, AdaIN by that share.
    `[1, C, T, h, w]` float32."""
    raw = codec.unnormalize(latents.float())
    larger = codec.normalize(upsampler(raw.to(upsampler.dtype)).float())
    return with_statistics_of(latents.float(), larger, adain)
