"""Hears the sound of the procedural world: when a note begins, and which wall it stands for. Knows the
pitches, nothing of the model.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from tools.train_tiny.procedural.sound import OUTPUT_RATE, WALLS

WINDOW, HOP = 480, 96
"""Samples at 24 kHz: 20 ms, every 4 ms."""
REACH = 4
"""Steps over which a rise counts."""
THRESHOLD = 0.08
"""Rise of the amplitude spectrum, summed, from which on it is a note: a tenth of full loudness or more."""
APART_S = 0.06
"""Two notes closer than this are one."""
LISTEN_S = (0.012, 0.085)
"""What is listened to after an onset."""


@dataclass(frozen=True)
class Heard:
    """One note: when it begins, and the wall whose pitch it has."""

    time_s: float
    wall: str


def onsets(wave: torch.Tensor, rate: int = OUTPUT_RATE) -> list[float]:
    """Times in seconds at which notes begin in a waveform [2, N] in [-1, 1]."""
    loud = _spectra(wave)
    rise = (loud[REACH:] - loud[:-REACH]).clamp(min=0).sum(1)
    found, reach = [], round(APART_S * rate / HOP)
    for i in range(len(rise)):
        around = rise[max(0, i - reach) : i + reach + 1]
        if rise[i] >= THRESHOLD and rise[i] == around.max():
            found.append(_begin(rise, i) * HOP / rate)
    return [t for k, t in enumerate(found) if k == 0 or t - found[k - 1] >= APART_S]


def _begin(rise: torch.Tensor, peak: int) -> float:
    """Where the rise to `peak` passes its half, in steps of the spectra: the window then sees half of the
    note's attack, so this is the note's own time.
    """
    half, i = rise[peak] / 2, peak
    while i > 0 and peak - i <= 2 * REACH and rise[i - 1] > half:
        i -= 1
    return i + REACH - 1.0


def _spectra(wave: torch.Tensor) -> torch.Tensor:
    """Amplitudes [T, bins] of both channels together, a full-scale sine counting about 1."""
    window = torch.hann_window(WINDOW)
    spectrum = torch.stft(wave, WINDOW, HOP, window=window, return_complex=True)
    amplitude = spectrum.abs().square().sum(0).sqrt() * (2 / float(window.sum()))
    return amplitude.T


def notes(wave: torch.Tensor, rate: int = OUTPUT_RATE) -> list[Heard]:
    """Every note of a waveform [2, N]."""
    return [Heard(at_s, wall(wave, at_s, rate)) for at_s in onsets(wave, rate)]


def wall(wave: torch.Tensor, at_s: float, rate: int = OUTPUT_RATE) -> str:
    """The wall whose fundamental grows most at `at_s`."""
    begin, end = (round((at_s + s) * rate) for s in LISTEN_S)
    after = wave[:, begin:end]
    length = after.shape[1]
    before = wave[:, max(0, begin - round(0.02 * rate) - length) : max(0, begin - round(0.02 * rate))]
    growth = {name: _power(after, hz, rate) - _power(before, hz, rate) for name, hz in WALLS.items()}
    return max(growth, key=lambda name: growth[name])


def _power(piece: torch.Tensor, hz: float, rate: int) -> float:
    """Power at one frequency of a piece [2, N]."""
    count = piece.shape[1]
    if count < 64:
        return 0.0
    window = torch.hann_window(count)
    angle = 2 * math.pi * hz / rate * torch.arange(count)
    real, imag = (piece * window * angle.cos()).sum(1), (piece * window * angle.sin()).sum(1)
    return float((real.square() + imag.square()).sum() / window.sum().square())
