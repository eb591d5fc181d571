"""Parts of films that are known, made anew by the bundled model: how they join what stays.

    python -m benchmarks.tiny.retakes --takes 4

The film that is known is one of the procedural world, 161 frames of it, losslessly stored. Its frames 57 to
104 are made anew: from the sentence that it was made with, and from that of another object.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from actors.media.process import Call, compile_command, exchange
from benchmarks.tiny.detector import read
from benchmarks.tiny.held import NEAR, SIDE, Known, known_films
from benchmarks.tiny.quality import farm_films, spec
from jobs.frames import Span

START, STOP, FADE = 57, 105, 8
OTHER = "a green square moves over a teal background"


@dataclass(frozen=True)
class RetakeScores:
    """`changed` frames outside of the part and its fades. The others are the largest near a joint over the
    99th percentile elsewhere: of the steps of the object, and of the mean change of pixels from frame to
    frame."""

    changed: int
    object_jump: float
    pixel_jump: float


def retake_job(known: Sequence[Known], folder: Path, prompt: str | None) -> dict[str, Any]:
    """A job that makes the middle of each film anew, from its own sentence or another."""
    videos = [
        {
            "name": f"r{i}",
            "source": {"video": stored(film, folder / f"r{i}.mkv")},
            "retakes": [{"start": START, "stop": STOP, "prompt": prompt or film.prompt, "seed": i}],
        }
        for i, film in enumerate(known)
    ]
    return {**spec("retakes", SIDE, videos, sound=False), "version": 3}


def stored(film: Known, path: Path) -> str:
    """The film as a lossless file."""
    import ffmpeg

    raw = ffmpeg.input(
        "pipe:", format="rawvideo", pixel_format="rgb24", video_size=(SIDE, SIDE), framerate=25
    )
    written = ffmpeg.output(raw, str(path), **{"c:v": "ffv1", "pix_fmt": "gbrp"}).overwrite_output()
    exchange(compile_command(written), Call("write a film"), film.pixels.numpy().tobytes())
    return str(path)


def retake_scores(made: torch.Tensor, known: Known) -> RetakeScores:
    """Judge a film [F, 3, H, W] in [0, 1] beside the one that is known."""
    true = known.pixels.permute(0, 3, 1, 2).float() / 255
    outside = torch.ones(len(made), dtype=torch.bool)
    outside[START - FADE : STOP + FADE] = False
    near = torch.zeros(len(made) - 1, dtype=torch.bool)
    for joint in (Span(START - FADE, START), Span(STOP, STOP + FADE)):
        near[joint.start - NEAR : joint.stop + NEAR] = True
    pixels = (made[1:] - made[:-1]).abs().mean(dim=(1, 2, 3))
    return RetakeScores(
        changed=int(((made - true).abs().amax(dim=(1, 2, 3)) > 1e-6)[outside].sum()),
        object_jump=_ratio(read(made).steps, near),
        pixel_jump=_ratio(pixels, near),
    )


def _ratio(steps: torch.Tensor, near: torch.Tensor) -> float:
    return float(steps[near].max() / torch.quantile(steps[~near], 0.99))


def measure(takes: int, folder: Path, prompt: str | None) -> list[RetakeScores]:
    """One score for each film."""
    folder.mkdir(parents=True)
    known = known_films(takes, 2)
    films = farm_films(folder)(retake_job(known, folder, prompt))
    return [retake_scores(films[f"r{i}"].picture, film) for i, film in enumerate(known)]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tiny.retakes", description=__doc__)
    parser.add_argument("--takes", type=int, default=4)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name, prompt in (("same", None), ("other", OTHER)):
            for score in measure(options.takes, Path(folder, name), prompt):
                print(f"{name}: {score}", flush=True)


if __name__ == "__main__":
    main()
