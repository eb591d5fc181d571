"""Hears the sound of the procedural world: when a note begins, and which wall it stands for. Knows the
pitches and timbres, nothing of the model.

An object that flies into a corner meets two walls within a few hundredths of a second. So each pitch is
listened to by itself: a spectrum is taken apart into the four tones, and each tone's rises are notes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import torch

from tools.train_tiny.procedural.sound import OUTPUT_RATE, PARTIALS, WALLS

WINDOW, HOP = 480, 96
"""Samples at 24 kHz: 20 ms, every 4 ms."""
REACH = 4
"""Steps over which a rise counts."""
THRESHOLD = 0.03
"""Rise of a tone's amplitude from which on it is a note: a tenth of full loudness or more."""
APART_S = 0.06
"""Two notes of one pitch closer than this are one."""
SPLASH = 0.2
"""A note's attack is heard at all pitches: what rises beside a louder one, by less than this share, is no
note of its own."""
_SPLASH_STEPS = 6
_TAKEN_APART = 200
"""Steps of multiplicative updates (Lee and Seung, 2001), by which amplitudes of tones cannot fall below 0."""


@dataclass(frozen=True)
class Heard:
    """One note: when it begins, and the wall whose pitch it has."""

    time_s: float
    wall: str


def notes(wave: torch.Tensor, rate: int = OUTPUT_RATE) -> list[Heard]:
    """Every note of a waveform [2, N] in [-1, 1], in the order of time."""
    loud = _spectra(wave)
    tones = min((_tones(loud, timbre) for timbre in _timbres(rate)), key=lambda found: found[1])[0]
    rise = (tones[REACH:] - tones[:-REACH]).clamp(min=0)
    found = [
        Heard(at * HOP / rate, wall)
        for column, wall in enumerate(WALLS)
        for at in _beginnings(rise, column, round(APART_S * rate / HOP))
    ]
    return sorted(found, key=lambda note: note.time_s)


def _beginnings(rise: torch.Tensor, column: int, apart: int) -> Iterator[float]:
    """Where notes of one pitch begin, in steps of the spectra."""
    own, last = rise[:, column], -math.inf
    for i in range(len(own)):
        beside = rise[max(0, i - _SPLASH_STEPS) : i + _SPLASH_STEPS + 1].max()
        at_peak = own[i] == own[max(0, i - apart) : i + apart + 1].max()
        if own[i] < THRESHOLD or own[i] < SPLASH * beside or not at_peak:
            continue
        at = _begin(own, i)
        if at - last >= apart:
            last = at
            yield at


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


@cache
def _timbres(rate: int) -> list[torch.Tensor]:
    """Spectra [4, bins] of the walls' steady tones, by shape, of amplitude 1."""
    window, when = torch.hann_window(WINDOW), torch.arange(WINDOW) / rate

    def peak(hz: float) -> torch.Tensor:
        tone = torch.polar(torch.ones(WINDOW), 2 * math.pi * hz * when)
        return torch.fft.fft(tone * window)[: WINDOW // 2 + 1].abs() / float(window.sum())

    def spectrum(hz: float, partials: tuple[float, ...]) -> torch.Tensor:
        shares = [(share / sum(partials), (h + 1) * hz) for h, share in enumerate(partials)]
        return torch.stack([share * peak(at) for share, at in shares]).square().sum(0).sqrt()

    return [torch.stack([spectrum(hz, partials) for hz in WALLS.values()]) for partials in PARTIALS.values()]


def _tones(loud: torch.Tensor, timbre: torch.Tensor) -> tuple[torch.Tensor, float]:
    """Amplitudes [T, 4] of four tones [4, bins] whose sum is nearest to spectra [T, bins], none below 0, and
    what is left of the spectra, squared and summed."""
    tones = torch.full((len(loud), len(timbre)), 1e-3)
    alike, seen = timbre @ timbre.T, loud @ timbre.T
    for _ in range(_TAKEN_APART):
        tones = tones * (seen / (tones @ alike + 1e-9))
    return tones, float((loud - tones @ timbre).square().sum())
