"""Sound <-> normalised audio latents `[1, channels, t, bins]`, 25 a second.

The audio VAE is causal, so a long sound is decoded in windows that hear a little of what came before. A
window's first latent is one mel frame and each other one four, as in a whole sound.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from actors.engines.diffusers.ltx2.sound.mel import log_mel, resampled
from actors.engines.transfer import to_device
from jobs.errors import InvalidInput

WINDOW = 1500
"""Latents decoded at once: a minute."""
LATENT_CONTEXT = 32
"""Latents before a window that it hears: what comes before them changes less than 2e-7 of the loudest."""
MEL_CONTEXT = 24
"""Mel frames around a window of the vocoder; its second half (2.3) needs twice what 2.0's does."""
MELS = 4
"""Mel frames of a latent."""


class SoundCodec:
    """Wraps a diffusers `AutoencoderKLLTX2Audio` and a vocoder."""

    def __init__(self, vae: Any, vocoder: Any) -> None:
        self.vae, self.vocoder = vae, vocoder

    def to(self, device: torch.device) -> None:
        self.vae.to(device)
        self.vocoder.to(device)

    @property
    def rate(self) -> int:
        """Samples a second of what `decode` makes."""
        return int(self.vocoder.config.output_sampling_rate)

    @property
    def shape(self) -> tuple[int, int]:
        """Channels and bins of a latent."""
        config = self.vae.config
        return config.latent_channels, config.mel_bins // MELS

    def encode(self, samples: np.ndarray, rate: int, latents: int) -> Tensor:
        """float32 `[2, n]` -> `[1, channels, latents, bins]`: cut, or its last latent repeated."""
        config = self.vae.config
        if samples.shape[1] == 0:
            raise InvalidInput("a sound without samples was to be encoded; render longer chunks")
        heard = torch.from_numpy(np.array(samples, dtype=np.float32))
        at_rate = resampled(heard, rate, config.sample_rate)
        mel = log_mel(at_rate, config.sample_rate, config.mel_hop_length, config.mel_bins)[None]
        mel = to_device(mel, self.vae.device).to(self.vae.dtype)
        tokens = _tokens(self.vae.encode(mel).latent_dist.mode().float())
        tokens = (tokens - self._statistic("latents_mean")) / self._statistic("latents_std")
        missing = max(0, latents - tokens.shape[1])
        tokens = torch.cat([tokens, tokens[:, -1:].expand(-1, missing, -1)], dim=1)[:, :latents]
        return self._grid(tokens)

    def decode(self, latents: Tensor, window: int = WINDOW) -> Tensor:
        """`[1, channels, t, bins]` -> float32 `[2, n]`: a hundredth of a second for each of 4t - 3 mel
        frames."""
        tokens = _tokens(to_device(latents, self.vae.device).float())
        raw = self._grid(tokens * self._statistic("latents_std") + self._statistic("latents_mean"))
        mel = self._mel(raw.to(self.vae.dtype), window)
        return self._samples(mel, MELS * window)[0].float()

    def _mel(self, raw: Tensor, window: int) -> Tensor:
        """Mel frames `[1, 2, 4t - 3, bins]` of the latents of a sound."""
        pieces = []
        for start in range(0, raw.shape[2], window):
            stop, before = min(start + window, raw.shape[2]), max(0, start - LATENT_CONTEXT)
            mel = self.vae.decode(raw[:, :, before:stop]).sample
            kept = MELS * (stop - start) if start else MELS * (stop - start) - MELS + 1
            pieces.append(mel[:, :, mel.shape[2] - kept :])
        return torch.cat(pieces, dim=2)

    def _samples(self, mel: Tensor, window: int) -> Tensor:
        """Samples `[1, 2, n]` of mel frames."""
        pieces, frames, each = [], mel.shape[2], self.rate // 100
        for start in range(0, frames, window):
            stop = min(start + window, frames)
            low, high = max(0, start - MEL_CONTEXT), min(frames, stop + MEL_CONTEXT)
            heard = self.vocoder(mel[:, :, low:high].to(self.vocoder.dtype))
            pieces.append(heard[..., (start - low) * each : (stop - low) * each])
        return torch.cat(pieces, dim=2)

    def _grid(self, tokens: Tensor) -> Tensor:
        return tokens.unflatten(2, self.shape).transpose(1, 2)

    def _statistic(self, name: str) -> Tensor:
        return getattr(self.vae, name).float()


def placed(samples: Tensor, rate: int, late_s: float) -> Tensor:
    """`[2, n]` that start `late_s` after the moment at which they are to start: silence before them, or the
    first ones left out."""
    late = round(late_s * rate)
    return F.pad(samples, (late, 0)) if late >= 0 else samples[:, -late:]


def _tokens(latents: Tensor) -> Tensor:
    """`[1, channels, t, bins]` -> `[1, t, channels x bins]`."""
    return latents.transpose(1, 2).flatten(2)
