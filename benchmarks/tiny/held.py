"""Films between held images: how the bundled model meets the stills, or clips, of a film that is known.

    python -m benchmarks.tiny.held              # one still, two stills and a clip at each joint
    python -m benchmarks.tiny.held clip --takes 2

The film that is known is one of the procedural world. Every 80 frames the farm is given what it shows there,
and samples the chunks between, none of which waits for another.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from PIL import Image

from actors.media.process import Call, compile_command, exchange
from benchmarks.tiny.detector import Reading, read
from benchmarks.tiny.quality import Films, farm_films, spec
from jobs.frames import TEMPORAL
from tools.train_tiny.procedural.world import (
    BACKGROUNDS,
    COLOURS,
    SHAPES,
    SPEED_PER_FRAME,
    Frame,
    Scenes,
    draw_scenes,
    render,
)

Kind = Literal["one", "two", "clip"]
KINDS: tuple[Kind, ...] = ("one", "two", "clip")
SIDE, APART, BEFORE, NEAR = 128, 80, 16, 8
"""Pixels, frames between joints, frames of a held clip that end a chunk, frames around a joint."""


@dataclass(frozen=True)
class HeldScores:
    """`place_error` is the largest distance of the object from its true place at a held frame, in units of
    the frame's side. `jump_ratio` is the largest step near a joint over the 99th percentile elsewhere,
    `speed_change` the largest change of the mean speed over 8 frames at a joint, in units of the world's
    speed; `true_speed_change` that of the film that is known."""

    place_error: float
    jump_ratio: float
    speed_change: float
    true_speed_change: float


@dataclass(frozen=True)
class Known:
    """A film of the world, uint8 `[F, H, W, 3]`, and a sentence for it."""

    pixels: torch.Tensor
    prompt: str


def known_films(takes: int, chunks: int, seed: int = 2024) -> list[Known]:
    """Films of `chunks` times 80 frames, and one."""
    frame = Frame(SIDE, SIDE)
    generator = torch.Generator().manual_seed(seed)
    scenes = draw_scenes(takes, frame, generator, torch.ones(takes, dtype=torch.bool))
    return [_known(scenes.pick(slice(i, i + 1)), chunks, frame) for i in range(takes)]


def _known(scene: Scenes, chunks: int, frame: Frame) -> Known:
    clip, _ = render(scene, torch.arange(chunks * APART + 1).float(), frame)
    pixels = ((clip[0] + 1) * 127.5).round().byte().permute(1, 2, 3, 0)
    colour, ground = list(COLOURS)[int(scene.colour)], list(BACKGROUNDS)[int(scene.background)]
    return Known(pixels, f"a {colour} {SHAPES[int(scene.shape)]} moves over a {ground} background")


def held_job(known: Sequence[Known], kind: Kind, folder: Path) -> dict[str, Any]:
    """A job that makes each film again from what is held of it."""
    videos = [
        {"name": f"h{i}", "chunks": _Held(film, kind, folder, f"h{i}").chunks()}
        for i, film in enumerate(known)
    ]
    return spec(f"held-{kind}", SIDE, videos, sound=False)


@dataclass(frozen=True)
class _Held:
    """The chunks of one film, and the files that they hold."""

    film: Known
    kind: Kind
    folder: Path
    name: str

    def chunks(self) -> list[dict[str, Any]]:
        count = (len(self.film.pixels) - 1) // APART
        return [self._chunk(index * APART, last=index == count - 1) for index in range(count)]

    def _chunk(self, start: int, last: bool) -> dict[str, Any]:
        """Frame 0 of a generate is the film's first, of an extend the one behind the joint."""
        own = start + 1 if start else 0
        fields = {"prompt": self.film.prompt, "images": self._images(start, own, last)}
        if start:
            return {"extend": {**fields, "num_new_frames": APART}}
        return {"generate": {**fields, "num_frames": APART + 1}}

    def _images(self, start: int, own: int, last: bool) -> list[dict[str, Any]]:
        """What a chunk holds whose frame 0 is frame `own` of the film. Behind the film's end there are no
        frames for a clip: two stills are held there."""
        stop, clip = start + APART, self.kind == "clip" and not last
        places = [] if clip else [stop]
        places += [] if start else [0]
        if self.kind == "two":
            places += [stop - TEMPORAL, start + TEMPORAL]
        elif self.kind == "clip" and last:
            places += [stop - TEMPORAL]
        held = [{"image": self._still(at), "frame": at - own, "hold": True} for at in sorted(places)]
        if clip:
            first = stop - BEFORE
            held.append({"video": self._clip(first), "frame": first - own, "hold": True})
        return held

    def _still(self, frame: int) -> str:
        path = self.folder / f"{self.name}-{frame}.png"
        Image.fromarray(self.film.pixels[frame].numpy()).save(path)
        return str(path)

    def _clip(self, first: int) -> str:
        """A clip of 25 frames, lossless."""
        import ffmpeg

        path = self.folder / f"{self.name}-{first}.mkv"
        raw = ffmpeg.input(
            "pipe:", format="rawvideo", pixel_format="rgb24", video_size=(SIDE, SIDE), framerate=25
        )
        written = ffmpeg.output(raw, str(path), **{"c:v": "ffv1", "pix_fmt": "gbrp"}).overwrite_output()
        frames = self.film.pixels[first : first + BEFORE + TEMPORAL + 1]
        exchange(compile_command(written), Call("write a clip"), frames.numpy().tobytes())
        return str(path)


def held_scores(film: torch.Tensor, known: Known) -> HeldScores:
    """Judge a film [F, 3, H, W] in [0, 1] beside the one that is known."""
    made, true = read(film), read(known.pixels.permute(0, 3, 1, 2).float() / 255)
    joints = range(APART, len(known.pixels) - 1, APART)
    held = [0, *joints, len(known.pixels) - 1]
    steps = made.steps / SPEED_PER_FRAME
    near = torch.zeros(len(steps), dtype=torch.bool)
    for joint in joints:
        near[joint - NEAR : joint + NEAR] = True
    return HeldScores(
        place_error=max(float((made.track[at] - true.track[at]).norm()) for at in held),
        jump_ratio=float(steps[near].max() / torch.quantile(steps[~near], 0.99)),
        speed_change=max(_speed_change(made, joint) for joint in joints),
        true_speed_change=max(_speed_change(true, joint) for joint in joints),
    )


def _speed_change(reading: Reading, joint: int) -> float:
    steps = reading.steps / SPEED_PER_FRAME
    return abs(float(steps[joint : joint + NEAR].mean() - steps[joint - NEAR : joint].mean()))


def measure(kind: Kind, takes: int, chunks: int, folder: Path) -> list[HeldScores]:
    """One score for each film."""
    known = known_films(takes, chunks)
    films: Films = farm_films(folder / kind)(held_job(known, kind, folder))
    return [held_scores(films[f"h{i}"].picture, film) for i, film in enumerate(known)]


def summary(scores: Sequence[HeldScores]) -> Mapping[str, float]:
    """The worst of all films."""
    return {name: max(getattr(score, name) for score in scores) for name in HeldScores.__dataclass_fields__}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tiny.held", description=__doc__)
    parser.add_argument("kinds", nargs="*", default=list(KINDS))
    parser.add_argument("--takes", type=int, default=4)
    parser.add_argument("--chunks", type=int, default=6)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for kind in options.kinds:
            scores = summary(measure(kind, options.takes, options.chunks, Path(folder)))
            print(f"{kind}: " + "  ".join(f"{key} {value:.4f}" for key, value in scores.items()), flush=True)


if __name__ == "__main__":
    main()
