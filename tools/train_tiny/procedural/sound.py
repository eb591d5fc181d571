"""What the tiny model hears: every bounce is one note, its pitch by the wall, its timbre by the shape, its
loudness by how hard the wall is hit, its place between the loudspeakers by the object's.

Everything is a closed formula of time, so a film sounds the same at every sample rate and every cut.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import torch

from tools.train_tiny.procedural.world import SPEED_PER_FRAME, Frame, Scenes, fold, unfolded

WALLS: dict[str, float] = {"left": 350.0, "right": 470.0, "top": 640.0, "bottom": 260.0}
"""Fundamental frequency of each wall in Hz, in the order that `Notes.wall` counts."""
PARTIALS: dict[str, tuple[float, ...]] = {
    "ball": (1.0, 0.12, 0.0, 0.0, 0.0, 0.0),
    "cube": (1.0, 0.0, 0.6, 0.0, 0.4, 0.0),
    "triangle": (1.0, 0.7, 0.55, 0.45, 0.35, 0.3),
}
"""Amplitudes of the harmonics by shape: round is dull, square is hollow, sharp is bright."""
DECAY_S: tuple[float, ...] = (0.13, 0.09, 0.18)
"""Time in which each shape's note falls to 1/e."""
ATTACK_S = 0.003
AMPLITUDE = 0.6
HARD = 0.5
"""Share of the speed across the wall from which on a bounce is fully loud."""

SAMPLE_RATE, OUTPUT_RATE = 16_000, 24_000
"""Hz of what the mel spectrogram reads, and of what the vocoder writes."""
HOP, WINDOW, MEL_BINS = 160, 1024, 64
LATENTS_PER_S = 25
MEL_PER_LATENT = 4
_MOST_NOTES = 20
_STEPS_PER_FRAME = 2
WORLD_FRAMES_PER_S = 25


@dataclass(frozen=True)
class Notes:
    """Notes of a batch [B, E]: time in seconds (infinite where there is none), wall, loudness and place in
    [0, 1]; `shape` [B].
    """

    time_s: torch.Tensor
    wall: torch.Tensor
    loudness: torch.Tensor
    place: torch.Tensor
    shape: torch.Tensor


def bounces(scenes: Scenes, seconds: float, frame: Frame) -> Notes:
    """The first notes of each scene up to `seconds`, in the order of time."""
    device = scenes.start.device
    steps = math.ceil(seconds * WORLD_FRAMES_PER_S * _STEPS_PER_FRAME)
    when = torch.arange(steps + 1, device=device) / _STEPS_PER_FRAME
    path, room = unfolded(scenes, when, frame)
    cell = torch.floor(path / room)
    before, after = cell[:, :-1], cell[:, 1:]
    edge = torch.maximum(before, after)
    step = path[:, 1:] - path[:, :-1]
    part = (edge * room - path[:, :-1]) / torch.where(step == 0, 1.0, step)
    at_s = (when[:-1, None] + part / _STEPS_PER_FRAME) / WORLD_FRAMES_PER_S
    at_s = torch.where(before != after, at_s, torch.inf)
    push = step.abs() * _STEPS_PER_FRAME / SPEED_PER_FRAME
    place = ((fold(path, room) - fold(torch.zeros_like(room), room)) / room)[:, :-1, :1].expand(-1, -1, 2)
    wall = torch.remainder(edge, 2).long() + 2 * torch.arange(2, device=device)
    columns = [at_s, wall, (push / HARD).clamp(max=1), place]
    order = at_s.flatten(1).argsort(dim=1)[:, :_MOST_NOTES]
    time_s, wall, loudness, place = (c.flatten(1).gather(1, order) for c in columns)
    return Notes(time_s, wall, loudness, place, scenes.shape)


def random_notes(count: int, seconds: float, generator: torch.Generator) -> Notes:
    """Notes at random, denser than a scene has them: what the audio VAE and the vocoder learn from."""
    device, most = generator.device, max(2, round(4 * seconds))

    def draw() -> torch.Tensor:
        return torch.rand(count, most, generator=generator, device=device)

    time_s = draw() * (seconds + 0.4) - 0.4
    time_s = torch.where(draw() < 0.25 + 0.5 * draw()[:, :1], time_s, torch.inf)
    loudness = (0.05 + 1.3 * draw()).clamp(max=1)
    shape = torch.randint(len(PARTIALS), (count,), generator=generator, device=device)
    return Notes(time_s, (draw() * len(WALLS)).long(), loudness, draw(), shape)


@cache
def _tables(device: torch.device) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Frequencies [4], partials [3, 6] that sum to 1, and decays [3] on the device."""
    partials = torch.tensor(list(PARTIALS.values()), device=device)
    pitches = torch.tensor(list(WALLS.values()), device=device)
    return pitches, partials / partials.sum(1, keepdim=True), torch.tensor(DECAY_S, device=device)


def synthesise(notes: Notes, samples: int, rate: int, start_s: float = 0.0) -> torch.Tensor:
    """Stereo waveform [B, 2, samples] in [-1, 1] from `start_s` on."""
    pitches, partials, decays = _tables(notes.time_s.device)
    now = start_s + torch.arange(samples, device=notes.time_s.device) / rate
    mix, decay = partials[notes.shape], decays[notes.shape][:, None]
    out = torch.zeros(len(mix), 2, samples, device=now.device)
    for i in range(notes.time_s.shape[1]):
        age = now - notes.time_s[:, i, None]
        heard = age > 0
        age = torch.where(heard, age, 0.0)
        envelope = (1 - torch.exp(-age / ATTACK_S)) * torch.exp(-age / decay) * heard
        angle = 2 * math.pi * pitches[notes.wall[:, i], None] * age
        tone = sum(mix[:, h, None] * torch.sin((h + 1) * angle) for h in range(mix.shape[1]))
        left, right = _pan(notes.place[:, i])
        strength = AMPLITUDE * notes.loudness[:, i, None] * envelope * tone
        out += torch.stack([left[:, None] * strength, right[:, None] * strength], dim=1)
    return out.clamp(-1, 1)


def _pan(place: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Gains of the left and the right channel at constant power."""
    angle = (0.1 + 0.8 * place) * (math.pi / 2)
    return angle.cos(), angle.sin()


def mel_frames(latents: int) -> int:
    """Mel frames of so many audio latents: the first covers one, every other four."""
    return MEL_PER_LATENT * latents - (MEL_PER_LATENT - 1)


def audio_latents(frames: int, rate: float) -> int:
    """Audio latents beside so many frames at `rate`."""
    return round(frames / rate * LATENTS_PER_S)


@cache
def _filters(device: torch.device) -> torch.Tensor:
    """Slaney's mel filters of unit area [WINDOW / 2 + 1, MEL_BINS], 0 to 8 kHz."""
    frequencies = torch.linspace(0, SAMPLE_RATE / 2, WINDOW // 2 + 1, dtype=torch.float64)
    top = 15 + math.log(SAMPLE_RATE / 2 / 1000) / (math.log(6.4) / 27)
    mels = torch.linspace(0, top, MEL_BINS + 2, dtype=torch.float64)
    edges = torch.where(mels < 15, mels * 200 / 3, 1000 * torch.exp((mels - 15) * (math.log(6.4) / 27)))
    low, centre, high = edges[:-2], edges[1:-1], edges[2:]
    rising = (frequencies[:, None] - low) / (centre - low)
    falling = (high - frequencies[:, None]) / (high - centre)
    filters = torch.minimum(rising, falling).clamp(min=0) * (2 / (high - low))
    return filters.float().to(device)


@cache
def _window(device: torch.device) -> torch.Tensor:
    return torch.hann_window(WINDOW, device=device)


def log_mel(wave: torch.Tensor) -> torch.Tensor:
    """Waveform [B, 2, N] at 16 kHz -> log mel spectrogram [B, 2, N // HOP + 1, MEL_BINS], as LTX-2 reads it:
    Hann window, frames centred at multiples of `HOP`, magnitudes, never below log 1e-5.
    """
    spectrum = torch.stft(
        wave.flatten(0, 1), WINDOW, HOP, window=_window(wave.device), center=True, return_complex=True
    )
    mel = spectrum.abs().transpose(1, 2) @ _filters(wave.device)
    return mel.clamp(min=1e-5).log().unflatten(0, wave.shape[:2])


def mel_of(notes: Notes, latents: int) -> torch.Tensor:
    """The log mel spectrogram [B, 2, mel_frames(latents), MEL_BINS] of notes, from second 0 on."""
    frames = mel_frames(latents)
    return log_mel(synthesise(notes, frames * HOP, SAMPLE_RATE))[:, :, :frames]
