"""Latents to pixels through ComfyUI's VAE object."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.overrides import TorchFunctionMode

from actors.engines.latents import DecodeSettings, tone_mapped
from actors.engines.noise import frame_noise
from actors.engines.transfer import DeviceFrames, deliver
from jobs.errors import InvalidInput
from jobs.frames import TEMPORAL, Span, frames_of_latents

if TYPE_CHECKING:
    from jobs.planning.params import Tiles

TIMESTEP, NOISE_SCALE = 0.05, 0.025
"""What cores without attributes for them decode with."""


@contextmanager
def decoding(vae: Any, latents: torch.Tensor, how: DecodeSettings) -> Iterator[torch.Tensor]:
    """Latents `[1, C, T, h, w]` as they are to be decoded inside, with the VAE set to decode them so.

    The noise of the decode comes before the tone map, and is then mixed in here. Raises InvalidInput where
    this core's VAE cannot be set.
    """
    model = vae.first_stage_model
    noise = how.noise_scale
    if how.tone_map:
        if getattr(model, "timestep_conditioning", False):
            noise = getattr(model, "decode_noise_scale", NOISE_SCALE) if noise is None else noise
            latents = torch.randn_like(latents) * noise + (1.0 - noise) * latents
            noise = 0.0
        latents = tone_mapped(latents, how.tone_map)
    before = _settings(model)
    wanted = {"decode_timestep": how.timestep, "decode_noise_scale": noise}
    changed = {key: value for key, value in wanted.items() if value not in (None, before[key])}
    if (changed or how.tone_map) and draws_frames(vae):
        raise InvalidInput(
            "the diffusion decoder of this video VAE knows no timestep, noise scale or tone map: leave out "
            "`decode.timestep`, `decode.noise_scale` and `upscale.tone_map`, or name the other video VAE."
        )
    if changed and not hasattr(model, "decode_timestep"):
        raise InvalidInput(
            "this ComfyUI decodes with a timestep of 0.05 and a noise scale of 0.025: leave out "
            "`decode.timestep`, `decode.noise_scale` and `upscale.tone_map`, or use ComfyUI 0.25 or later."
        )
    for key, value in changed.items():
        setattr(model, key, value)
    try:
        yield latents
    finally:
        for key in changed:
            setattr(model, key, before[key])


def _settings(model: Any) -> dict[str, float]:
    return {
        "decode_timestep": getattr(model, "decode_timestep", TIMESTEP),
        "decode_noise_scale": getattr(model, "decode_noise_scale", NOISE_SCALE),
    }


def draws_frames(vae: Any) -> bool:
    """Whether its decoder denoises pixels, as LTX-2.5's second one does."""
    return hasattr(getattr(vae.first_stage_model, "decoder", None), "conv_in_x_t")


class FrameNoise(TorchFunctionMode):
    """What `torch.randn` draws for pixels `[1, 3, F, H, W]`: each frame has noise of its own, in whichever
    window it is decoded. `first` is the number of the first one in the film. Core draws by the window's
    shape: two windows would show different frames where they meet."""

    def __init__(self, first: int) -> None:
        super().__init__()
        self.first = first

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return self._drawn(*args, **kwargs) if func is torch.randn else func(*args, **(kwargs or {}))

    def _drawn(self, shape: tuple[int, ...], *, dtype: torch.dtype, device: Any, **_: Any) -> torch.Tensor:
        return frame_noise(shape, self.first, dtype, device)


def decode_images(vae: Any, latents: torch.Tensor, first: int | None = None) -> torch.Tensor:
    """`[1, C, T, h, w]` -> IMAGE `[8(T-1)+1, H, W, 3]` in [0, 1].

    Decoders that are conditioned on a timestep draw noise from torch's global generator: seed it first. A
    window of a longer clip, whose first latent has the number `first`, is that of the whole.
    """
    windowed = first is not None and draws_frames(vae)
    with FrameNoise(TEMPORAL * (first or 0)) if windowed else nullcontext():
        images = vae.decode(latents)
    return images.reshape(-1, *images.shape[-3:])


def decode_tiles(
    vae: Any, latents: torch.Tensor, tiles: Tiles, first: int | None = None
) -> np.ndarray | DeviceFrames:
    """As `decode_images` to uint8, `tiles.tile_latents` at a time with context on each side: less memory,
    other bytes."""
    total = latents.shape[2]
    decoded = []
    for start in range(0, total, tiles.tile_latents):
        kept = Span(start, min(start + tiles.tile_latents, total))
        context = Span(max(0, start - tiles.overlap_latents), min(total, kept.stop + tiles.overlap_latents))
        number = None if first is None else first + context.start
        frames = to_uint8(decode_images(vae, latents[:, :, context.start : context.stop], number))
        keep = frames_of_latents(kept.shifted(-context.start))
        decoded.append(frames[keep.start : keep.stop])
    return deliver(torch.cat(decoded))


def to_frames(images: torch.Tensor) -> np.ndarray | DeviceFrames:
    """IMAGE -> uint8 `[F, H, W, 3]`, on a GPU still there."""
    return deliver(to_uint8(images))


def to_uint8(images: torch.Tensor) -> torch.Tensor:
    """IMAGE -> uint8, rounded where it is, so that a quarter of the bytes cross the bus."""
    return images.clamp(0, 1).mul(255).round().to(torch.uint8)


def to_image(frames: np.ndarray) -> torch.Tensor:
    """uint8 `[F, H, W, 3]` -> IMAGE in [0, 1], float32."""
    return torch.from_numpy(np.array(frames)).float() / 255.0


def black_image() -> torch.Tensor:
    """One black frame: the `images` output when nothing was decoded, so that a preview does not break."""
    return torch.zeros(1, 64, 64, 3)
