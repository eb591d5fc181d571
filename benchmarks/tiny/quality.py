"""Quality of the bundled model on the pixels of finished films, rendered through the farm's Python API.

    python -m benchmarks.tiny.quality            # all measurements, about an hour on two cores
    python -m benchmarks.tiny.quality prompts takes --count 8

`prompts` samples the held-out sentences, `guides` opens and ends clips with images, `takes` extends 20
times with and without 2x refinement. Sound is judged by the picture: bounces that are heard, their pitch,
and notes without a bounce. Every film is lossless: nothing but the model and the stitching is judged.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from benchmarks.tiny.detector import read
from benchmarks.tiny.engines import held_out
from benchmarks.tiny.scores import (
    Hearing,
    Motion,
    Wanted,
    click,
    hearing,
    motion,
    prompt_scores,
    psnr,
    rate,
)
from tools.train_tiny.procedural.sound import OUTPUT_RATE
from tools.train_tiny.procedural.world import BACKGROUNDS, COLOURS, SHAPES, Frame, Scenes, draw_scenes, render


@dataclass(frozen=True)
class Shown:
    """A film: `picture` [F, 3, H, W] in [0, 1], `sound` [2, N] at `OUTPUT_RATE`."""

    picture: torch.Tensor
    sound: torch.Tensor

    def heard(self, frames: slice = slice(None)) -> Hearing:
        """How well the sound of some frames fits their picture."""
        start, stop, _ = frames.indices(len(self.picture))
        at, end = (round(frame / RATE * OUTPUT_RATE) for frame in (start, stop))
        return hearing(read(self.picture[start:stop]), self.sound[:, at:end], RATE)


Films = Mapping[str, Shown]
"""Films by video name."""
Render = Callable[[Mapping[str, Any]], Films]
"""Renders a job spec and returns its films."""

RATE = 25.0
SOUND = {"sound": [{"generate": True}], "mix": {"sample_rate": OUTPUT_RATE}}
GUIDER_PARAMS = {"stg_scale": 0.0, "modality": 3.0, "rescale": 0.0}
GUIDER = {"name": "stg", "params": GUIDER_PARAMS}
"""What the model's card asks for: sound and picture are kept together."""
NUM_FRAMES, NEW_FRAMES, OVERLAP_FRAMES, EXTENDS = 97, 80, 16, 20
FADE_FRAMES = OVERLAP_FRAMES - 8
EXTEND = {"num_new_frames": NEW_FRAMES, "overlap_frames": OVERLAP_FRAMES, "cfg": 1.0}
"""An Extend of a long take, and how the model's card samples it."""
SECOND_PASS = {"denoise": 0.5, "cfg": 1.0}
SEAMS = [NUM_FRAMES - FADE_FRAMES + NEW_FRAMES * k for k in range(EXTENDS)]


def spec(name: str, side: int, videos: Sequence[Mapping[str, Any]], sound: bool = True) -> dict[str, Any]:
    """A job that renders `videos` losslessly with the bundled model's defaults."""
    return {
        "version": 1,
        "name": name,
        "defaults": {"width": side, "height": side, "seed": 7, "guider": GUIDER},
        "videos": [{**video, **(SOUND if sound else {})} for video in videos],
        "output": {"container": "mkv", "codec": "ffv1"},
    }


def prompts(films_of: Render, wanted: Sequence[Wanted], side: int) -> dict[str, float]:
    """Shares of single clips that show what their prompts say."""
    videos = [
        {"name": f"p{i}", "chunks": [{"generate": {"prompt": item.prompt, "num_frames": NUM_FRAMES}}]}
        for i, item in enumerate(wanted)
    ]
    films = films_of(spec(f"prompts-{side}", side, videos))
    shown = [films[f"p{i}"] for i in range(len(wanted))]
    scores = prompt_scores(wanted, [read(film.picture) for film in shown])
    return {**scores, **sum((film.heard() for film in shown), Hearing()).rates()}


def guides(films_of: Render, folder: Path, count: int, side: int) -> dict[str, float]:
    """Mean PSNR in dB of the frames that images fix: the first of a clip, its last, and the last of an
    Extend, where the object would come anyway and where it has to be steered to."""
    scenes = draw_scenes(count, Frame(side, side), torch.Generator().manual_seed(77))
    others = replace(
        scenes, start=draw_scenes(count, Frame(side, side), torch.Generator().manual_seed(78)).start
    )
    known = [_Stills(scenes.pick(slice(i, i + 1)), others.pick(slice(i, i + 1)), side) for i in range(count)]
    videos = [video for i, stills in enumerate(known) for video in stills.videos(folder, i)]
    films = films_of(spec(f"guides-{side}", side, videos))
    first, last, there, steered = (
        [psnr(films[f"{name}{i}"].picture[at], still[where]) for i, still in enumerate(known)]
        for name, at, where in (("g", 0, 0), ("g", MIDDLE, MIDDLE), ("g", -1, END), ("s", -1, -1))
    )
    return {
        "first frame": sum(first) / count,
        "last of a clip": sum(last) / count,
        "last of an Extend": sum(there) / count,
        "steered to": sum(steered) / count,
    }


MIDDLE, END = NUM_FRAMES - 1, NUM_FRAMES - 1 + NEW_FRAMES
"""Last frames of a Generate, and of the Extend behind it."""


@dataclass(frozen=True)
class _Stills:
    """Images of one scene, of which a film is asked, and of the same object elsewhere."""

    scene: Scenes
    elsewhere: Scenes
    side: int

    def __getitem__(self, frame: int) -> torch.Tensor:
        """The scene at a frame, [3, H, W] in [0, 1]; -1 is elsewhere."""
        scene = self.elsewhere if frame < 0 else self.scene
        clip, _ = render(scene, torch.tensor([max(frame, 0)]), Frame(self.side, self.side))
        return (clip[0, :, 0] + 1) / 2

    def videos(self, folder: Path, number: int) -> Iterator[dict[str, Any]]:
        """Two films of a Generate and an Extend: `g` ends where the object would come, `s` elsewhere."""
        for name, end in (("g", END), ("s", -1)):
            generate = {"first_image": self._image(folder, number, 0), "num_frames": NUM_FRAMES}
            generate |= {"last_image": self._image(folder, number, MIDDLE)}
            extend = {"last_image": self._image(folder, number, end), "num_new_frames": NEW_FRAMES}
            extend |= {"overlap_frames": OVERLAP_FRAMES}
            both = {"prompt": _sentence(self.scene), "crf": 0}
            chunks = [{"generate": {**both, **generate}}, {"extend": {**both, **extend}}]
            yield {"name": f"{name}{number}", "chunks": chunks}

    def _image(self, folder: Path, number: int, frame: int) -> str:
        path = folder / f"still{self.side}-{number}-{frame}.png"
        Image.fromarray((self[frame] * 255).round().byte().permute(1, 2, 0).numpy()).save(path)
        return str(path)


def _sentence(scene: Scenes) -> str:
    colour, shape = list(COLOURS)[int(scene.colour)], SHAPES[int(scene.shape)]
    return f"a {colour} {shape} moves over a {list(BACKGROUNDS)[int(scene.background)]} background"


def takes(films_of: Render, wanted: Sequence[Wanted], refined: bool) -> dict[str, float]:
    """Continuity of long takes of 20 extends, at 128 pixels or refined to 256."""
    videos = [{"name": f"t{i}", "chunks": _chunks(item.prompt)} for i, item in enumerate(wanted)]
    job = spec("takes-refined" if refined else "takes", 128, videos)
    if refined:
        job["upscale"] = SECOND_PASS
    films = films_of(job)
    shown = [films[f"t{i}"] for i in range(len(wanted))]
    rows = [motion(film.picture, SEAMS, FADE_FRAMES, NEW_FRAMES) for film in shown]
    return {**_take_scores(rows, wanted), **_sound_scores(shown)}


def _sound_scores(shown: Sequence[Shown]) -> dict[str, float]:
    """How well sound fits picture in the first chunk of the takes and in the last, and whether it jumps
    where chunks meet."""
    seams_s = [(NUM_FRAMES + NEW_FRAMES * k) / RATE for k in range(EXTENDS)]
    clicks = {"click at a seam over p99": max(click(film.sound, seams_s, OUTPUT_RATE) for film in shown)}
    parts = {"first": slice(None, NUM_FRAMES), "last": slice(-NUM_FRAMES, None)}
    heard = {
        f"{which} {name}": share
        for which, frames in parts.items()
        for name, share in sum((film.heard(frames) for film in shown), Hearing()).rates().items()
    }
    return {**clicks, **heard}


def _chunks(prompt: str) -> list[dict[str, Any]]:
    extend = {**EXTEND, "prompt": prompt, "repeat": EXTENDS}
    return [{"generate": {"prompt": prompt, "num_frames": NUM_FRAMES}}, {"extend": extend}]


def _take_scores(rows: Sequence[Motion], wanted: Sequence[Wanted]) -> dict[str, float]:
    speed = [row.last_speed / row.first_speed for row in rows]
    return {
        "last colour": rate([row.last_colour == item.colour for row, item in zip(rows, wanted, strict=True)]),
        "worst seam jump over p99": max(row.ratio for row in rows),
        "takes within 1.25": rate([row.ratio <= 1.25 for row in rows]),
        "slowest last/first": min(speed),
        "fastest last/first": max(speed),
    }


def farm_films(runs: Path) -> Render:
    """Renders through `farm.api`, one process."""
    from actors.media.audio import Listen, read_audio
    from actors.media.frames import Cut, read_video
    from farm.api import films

    def films_of(job: Mapping[str, Any]) -> Films:
        done = {}
        for film in films(
            {**job, "output": {**job["output"], "dir": str(runs / "out" / job["name"])}},
            runs=str(runs),
            serial=True,
        ):
            side = int(job["defaults"]["width"]) * (2 if "upscale" in job else 1)
            frames = read_video(film.path, Cut(side, side, film.fps, film.frames))
            heard = Listen(0, round(film.frames / film.fps * OUTPUT_RATE), OUTPUT_RATE)
            with_sound = any("sound" in video for video in job["videos"])
            sound = torch.from_numpy(read_audio(film.path, heard).copy()) if with_sound else torch.zeros(2, 0)
            done[film.video] = Shown(torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255, sound)
        return done

    return films_of


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tiny.quality", description=__doc__)
    parser.add_argument("parts", nargs="*", default=["prompts", "guides", "takes"])
    parser.add_argument("--count", type=int, default=64, help="prompts; a quarter as many guides and takes")
    options = parser.parse_args()
    wanted, few = held_out()[: options.count], max(1, options.count // 4)
    with tempfile.TemporaryDirectory() as folder:
        films_of = farm_films(Path(folder))
        for side in (128, 256):
            if "prompts" in options.parts:
                _print(f"prompts {side}", prompts(films_of, wanted, side))
            if "guides" in options.parts:
                _print(f"guides {side}", guides(films_of, Path(folder), few, side))
        for refined in (False, True):
            if "takes" in options.parts:
                _print("takes, refined" if refined else "takes", takes(films_of, wanted[:few], refined))


def _print(name: str, scores: Mapping[str, float]) -> None:
    print(f"{name}: " + "  ".join(f"{key} {value:.3f}" for key, value in scores.items()), flush=True)


if __name__ == "__main__":
    main()
