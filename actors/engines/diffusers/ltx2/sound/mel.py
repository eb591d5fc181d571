"""Samples -> log mel spectrogram, as the audio VAE of LTX-2 was trained on it.

What `AudioProcessor` of ltx-core does with torchaudio, which the farm does not need: resampling by a windowed
sinc, magnitudes of a centred STFT, and mel bands of Slaney's Auditory Toolbox (linear below 1 kHz) of equal
area.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

N_FFT = 1024
LEAST = 1e-5
"""Magnitude below which there is silence."""
_ZEROS, _ROLLOFF = 6, 0.99
"""Zero crossings of the sinc on each side, and the share of the band that passes."""
_LINEAR_HZ, _STEP_HZ, _LOG_STEP = 1000.0, 200.0 / 3, math.log(6.4) / 27.0


def log_mel(samples: Tensor, rate: int, hop: int, bins: int) -> Tensor:
    """float32 `[channels, n]` at `rate` -> `[channels, n // hop + 1, bins]`."""
    short = N_FFT // 2 + 1 - samples.shape[1]
    padded = F.pad(samples, (0, max(0, short)))
    window = torch.hann_window(N_FFT, device=samples.device)
    spectrum = torch.stft(padded, N_FFT, hop, window=window, center=True, return_complex=True).abs()
    bands = mel_bands(rate, bins).to(samples.device)
    return torch.matmul(bands, spectrum).clamp(min=LEAST).log().transpose(1, 2)


@lru_cache(maxsize=4)
def mel_bands(rate: int, bins: int) -> Tensor:
    """Weights `[bins, N_FFT / 2 + 1]` of triangles that overlap by half and have equal area."""
    frequencies = torch.linspace(0, rate / 2, N_FFT // 2 + 1)
    edges = _hertz(torch.linspace(0.0, _mels(rate / 2), bins + 2))
    rising = (frequencies[None] - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - frequencies[None]) / (edges[2:] - edges[1:-1])[:, None]
    triangles = torch.minimum(rising, falling).clamp(min=0)
    return triangles * (2.0 / (edges[2:] - edges[:-2]))[:, None]


def _mels(hertz: float) -> float:
    if hertz < _LINEAR_HZ:
        return hertz / _STEP_HZ
    return _LINEAR_HZ / _STEP_HZ + math.log(hertz / _LINEAR_HZ) / _LOG_STEP


def _hertz(mels: Tensor) -> Tensor:
    first = _LINEAR_HZ / _STEP_HZ
    return torch.where(mels < first, mels * _STEP_HZ, _LINEAR_HZ * torch.exp(_LOG_STEP * (mels - first)))


def resampled(samples: Tensor, rate: int, wanted: int) -> Tensor:
    """`[channels, n]` at `wanted` samples a second, ceil(n wanted / rate) of them, by a sinc under a Hann
    window."""
    shared = math.gcd(rate, wanted)
    old, new = rate // shared, wanted // shared
    if old == new:
        return samples
    kernel, width = _sinc(old, new)
    padded = F.pad(samples, (width, width + old))
    found = F.conv1d(padded[:, None], kernel.to(samples), stride=old)
    length = math.ceil(new * samples.shape[1] / old)
    return found.transpose(1, 2).reshape(samples.shape[0], -1)[:, :length]


@lru_cache(maxsize=8)
def _sinc(old: int, new: int) -> tuple[Tensor, int]:
    """One filter for each of the `new` samples that `old` become: `[new, 1, taps]`."""
    band = min(old, new) * _ROLLOFF
    width = math.ceil(_ZEROS * old / band)
    times = torch.arange(-width, width + old, dtype=torch.float64)[None, None] / old
    at = (torch.arange(0, -new, -1, dtype=torch.float64)[:, None, None] / new + times) * band
    at = at.clamp(-_ZEROS, _ZEROS)
    window = torch.cos(at * math.pi / _ZEROS / 2) ** 2
    return (torch.sinc(at) * window * (band / old)).float(), width
