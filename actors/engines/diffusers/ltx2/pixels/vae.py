"""The VAE as a module, and pixels to and from its latents."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from actors.engines.diffusers.codec import VideoCodec
from actors.engines.diffusers.ltx2.pixels.blocks import Shares, install
from actors.engines.latents import AS_TRAINED, DecodeSettings
from actors.engines.noise import frame_noise
from jobs.frames import SPATIAL, TEMPORAL, frames_of
from jobs.planning.params import Tiles

if TYPE_CHECKING:
    import numpy as np

    from actors.engines.transfer import DeviceFrames
    from actors.ranks import Ranks


class PixelVae(nn.Module):
    """diffusers' convolutional encoder and diffusion decoder in one, with the statistics of the latents."""

    latents_mean: Tensor
    latents_std: Tensor
    config = SimpleNamespace(timestep_conditioning=False)

    def __init__(self, encoder: nn.Module, decoder: Any, channels: int) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder
        self.register_buffer("latents_mean", torch.zeros(channels))
        self.register_buffer("latents_std", torch.ones(channels))
        self.shares = Shares()
        install(decoder, self.shares)

    @property
    def device(self) -> torch.device:
        return self.latents_mean.device

    @property
    def dtype(self) -> torch.dtype:
        return self.latents_mean.dtype

    def encode(self, clip: Tensor) -> Any:
        """Pixels `[1, 3, 8k+1, H, W]` in [-1, 1] -> the posterior over `[1, C, k+1, h, w]`."""
        from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution

        return SimpleNamespace(latent_dist=DiagonalGaussianDistribution(self.encoder(clip)))

    def denoised(self, latents: Tensor, noise: Tensor) -> Tensor:
        """Raw latents `[1, C, T, h, w]`, noise `[1, 3, 8(T-1)+1, 32h, 32w]` -> pixels of its shape."""
        context = self.decoder.forward_stage_4(self.decoder.forward_stages_1_to_3(latents))
        return self.decoder.denoise(context, noise, self.decoder.default_num_inference_steps)


class PixelCodec(VideoCodec):
    """A decode starts from noise of the film's frames: windows and tiles show the same where they meet."""

    def shares(self, latents: int, tiles: Tiles | None) -> bool:
        """Its blocks take some frames at a time in any case."""
        return True

    def decode(
        self, latents: Tensor, how: DecodeSettings = AS_TRAINED, ranks: Ranks | None = None
    ) -> np.ndarray | DeviceFrames:
        self.vae.shares.ranks = ranks
        try:
            return super().decode(latents, how)
        finally:
            self.vae.shares.ranks = None

    def decoded(self, prepared: Tensor, how: DecodeSettings = AS_TRAINED) -> Tensor:
        latents, rows, columns = prepared.shape[2:]
        shape = (1, 3, frames_of(latents), SPATIAL * rows, SPATIAL * columns)
        noise = frame_noise(shape, TEMPORAL * how.first, prepared.dtype, prepared.device)
        return self.vae.denoised(prepared, noise).float()

    def decode_tiled(
        self,
        latents: Tensor,
        tiles: Tiles,
        how: DecodeSettings = AS_TRAINED,
        ranks: Ranks | None = None,
    ) -> np.ndarray | DeviceFrames:
        """With the whole overlap on each side: neighbours reach further than convolutions do."""
        wider = Tiles(tiles.tile_latents, 2 * tiles.overlap_latents)
        return super().decode_tiled(latents, wider, how, ranks)


def codec_of(vae: Any) -> VideoCodec:
    """What runs this video VAE."""
    return PixelCodec(vae) if isinstance(vae, PixelVae) else VideoCodec(vae)
