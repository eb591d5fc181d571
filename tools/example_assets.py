"""Draws what the examples read: two stills, a clip to continue, and a score. Run once; the files are
committed.

python -m tools.example_assets
"""

from __future__ import annotations

import math
import subprocess
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from actors.media.ffmpeg import find_ffmpeg
from tools.train_tiny.procedural.world import BACKGROUNDS, COLOURS, SHAPES, Frame, Scenes, render

ASSETS = Path(__file__).parents[1] / "examples" / "assets"
SIDE = 128
RATE_HZ = 48_000
SCORE_S = 16.0
CHORDS = (
    (220.0, 277.18, 329.63),
    (246.94, 311.13, 369.99),
    (196.0, 246.94, 293.66),
    (164.81, 207.65, 246.94),
)
BEAT_S = 0.5


def scene(colour: str, shape: str, background: str, start: tuple[float, float], degrees: float) -> Scenes:
    """One scene of the tiny model's world."""
    return Scenes(
        colour=torch.tensor([list(COLOURS).index(colour)]),
        shape=torch.tensor([SHAPES.index(shape)]),
        background=torch.tensor([list(BACKGROUNDS).index(background)]),
        direction=torch.tensor([0]),
        heading=torch.tensor([math.radians(degrees)]),
        start=torch.tensor([start]),
        sway=torch.tensor([[[0.0, 1.0, 0.0]] * 2]),
    )


def frames(shot: Scenes, count: int) -> np.ndarray:
    """uint8 RGB `[count, SIDE, SIDE, 3]`."""
    clip, _ = render(shot, torch.arange(count), Frame(SIDE, SIDE))
    return ((clip[0].permute(1, 2, 3, 0) + 1) * 127.5).round().clamp(0, 255).byte().numpy()


def score() -> np.ndarray:
    """A slow arpeggio, float32 `[samples]` in [-1, 1]."""
    t = np.arange(int(SCORE_S * RATE_HZ)) / RATE_HZ
    sound = np.zeros_like(t)
    for beat in range(int(SCORE_S / BEAT_S)):
        chord = CHORDS[beat // 8 % len(CHORDS)]
        pitch = chord[beat % 3] * (2 if beat % 4 == 3 else 1)
        age = t - beat * BEAT_S
        envelope = np.where(
            age >= 0, np.exp(-2.2 * np.maximum(age, 0)) * np.minimum(1, np.maximum(age, 0) / 0.01), 0
        )
        sound += envelope * (np.sin(2 * np.pi * pitch * age) + 0.3 * np.sin(4 * np.pi * pitch * age))
    loudest = float(np.abs(sound).max())
    return (0.25 * sound / loudest).astype(np.float32)


def encode(options: list[str], raw: bytes, out: Path) -> None:
    """Pipes raw samples or frames through ffmpeg into `out`."""
    command = [find_ffmpeg().path, "-y", "-loglevel", "error", *options, "-fflags", "+bitexact", str(out)]
    subprocess.run(command, input=raw, check=True)


def main() -> None:
    """Writes all assets."""
    ASSETS.mkdir(parents=True, exist_ok=True)
    for name, shot in (
        ("dawn.png", scene("orange", "ball", "navy", (0.3, 0.7), 315)),
        ("noon.png", scene("yellow", "cube", "teal", (0.5, 0.5), 180)),
    ):
        Image.fromarray(frames(shot, 1)[0]).save(ASSETS / name, optimize=True)
    clip = frames(scene("green", "triangle", "white", (0.3, 0.4), 20), 49)
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{SIDE}x{SIDE}", "-r", "25", "-i", "-"]
    encode(
        [*raw, "-c:v", "libx264", "-crf", "10", "-pix_fmt", "yuv420p", "-threads", "1"],
        clip.tobytes(),
        ASSETS / "clip.mp4",
    )
    pcm = ["-f", "f32le", "-ar", str(RATE_HZ), "-ac", "1", "-i", "-"]
    encode([*pcm, "-c:a", "aac", "-b:a", "64k"], score().tobytes(), ASSETS / "score.m4a")


if __name__ == "__main__":
    main()
