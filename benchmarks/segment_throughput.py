"""What a segment costs beside its encoder: decoded frames -> cross-fade -> segment, against ffmpeg alone.

Both sides encode the same pictures with the same options. ffmpeg alone reads them from a raw file; the farm
takes what two neighbouring decodes left in memory, cross-fades the head and pipes the frames on. The two
alternate, and the best round of each counts. "Per core" is frames per second of processor time, of this
process and of ffmpeg together; the clock's time is printed beside it.

    python -m benchmarks.segment_throughput [--codec h264 --preset medium --frames 80 --rounds 3]
    python -m benchmarks.segment_throughput --kinds [--rounds 2]

With `--kinds` it is told of every codec with its presets, profiles and pixel formats how many times the
processor time of H.264, preset medium, the farm needs for a segment: what `farm/estimates/encoding.py` has.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from actors.media.ffmpeg import find_ffmpeg
from actors.media.process import Call, exchange
from actors.media.segment import crossfade, encode_segment, segment_command
from jobs.formats import CODECS, PROFILES
from jobs.planning.params import SegmentParams

WIDTH, HEIGHT, FADE_FRAMES = 1920, 1080, 8
BAR = 0.9
USUAL_PRESET = "medium"
PRESETS = ("ultrafast", "veryfast", "faster", "fast", "medium", "slow", "slower")


@dataclass(frozen=True)
class Cost:
    """One run: `cpu_s` of both processes together, `wall_s` on the clock."""

    cpu_s: float
    wall_s: float


@dataclass(frozen=True)
class Result:
    """Throughputs in frames per second; `ratio` is the farm's over ffmpeg's per second of processor time."""

    codec: str
    preset: str
    frames: int
    ffmpeg_per_core: float
    farm_per_core: float
    ratio: float
    wall_ratio: float


def scene(frames: int, seed: int) -> np.ndarray:
    """uint8 `[frames, 1080, 1920, 3]`: a textured backdrop panning under a light grain."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 255, (40, 70, 3)).astype(np.float32)
    backdrop = np.kron(coarse, np.ones((32, 32, 1), np.float32))
    for axis in (0, 1):
        backdrop = np.stack([np.roll(backdrop, shift, axis) for shift in range(0, 64, 4)]).mean(0)
    grain = random.normal(0, 2, (HEIGHT, WIDTH, 3)).astype(np.float32)
    clip = np.empty((frames, HEIGHT, WIDTH, 3), np.uint8)
    for number in range(frames):
        view = backdrop[number : number + HEIGHT, 2 * number : 2 * number + WIDTH]
        clip[number] = np.clip(view + np.roll(grain, 17 * number, 0), 0, 255)
    return clip


@contextmanager
def measured(costs: list[Cost]) -> Iterator[None]:
    """Append what the block costs, its child processes included."""
    before, started = os.times(), time.perf_counter()
    yield
    wall_s, after = time.perf_counter() - started, os.times()
    costs.append(Cost(sum(after[:4]) - sum(before[:4]), wall_s))


def alternate(one: Callable[[], object], other: Callable[[], object], rounds: int) -> tuple[Cost, Cost]:
    """Cheapest round of each, the two taking turns."""
    costs: tuple[list[Cost], list[Cost]] = ([], [])
    for _ in range(rounds):
        for run, kept in zip((one, other), costs, strict=True):
            with measured(kept):
                run()
    return tuple(Cost(min(c.cpu_s for c in kept), min(c.wall_s for c in kept)) for kept in costs)  # type: ignore[return-value]


def compare(params: SegmentParams, rounds: int, folder: Path) -> Result:
    """Measure both sides and check that they made the same bytes."""
    clip, previous = scene(params.owned_frames, seed=1), scene(FADE_FRAMES, seed=2)
    raw, alone, farmed = folder / "frames.rgb", folder / "alone.mov", folder / "farm.mov"
    with raw.open("wb") as file:
        file.write(crossfade(clip[:FADE_FRAMES], previous).data)
        file.write(clip[FADE_FRAMES:].data)
    command = segment_command(params, alone, None)
    command[command.index("pipe:")] = str(raw)

    def encode_alone() -> None:
        exchange(command, Call("encode"))

    def encode_on_the_farm() -> None:
        encode_segment([crossfade(clip[:FADE_FRAMES], previous), clip[FADE_FRAMES:]], params, farmed)

    ffmpeg, farm = alternate(encode_alone, encode_on_the_farm, rounds)
    if alone.read_bytes() != farmed.read_bytes():
        raise SystemExit("the two sides made different bytes: the comparison is void")
    count = params.owned_frames
    return Result(
        params.codec,
        params.preset,
        count,
        round(count / ffmpeg.cpu_s, 2),
        round(count / farm.cpu_s, 2),
        round(ffmpeg.cpu_s / farm.cpu_s, 3),
        round(ffmpeg.wall_s / farm.wall_s, 3),
    )


def settings(codec: str, preset: str, frames: int) -> SegmentParams:
    """A segment as the default job spec asks for it, at 1080p."""
    return SegmentParams(
        WIDTH, HEIGHT, 24.0, FADE_FRAMES, frames, codec, "", 16, preset, CODECS[codec].pixel_format, 1
    )


def kinds(frames: int, rounds: int, folder: Path) -> Iterator[tuple[str, float]]:
    """Processor time of a segment of each kind against that of the first one, H.264 with preset medium."""
    usual = settings("h264", USUAL_PRESET, frames)
    clip, first_s = scene(frames, seed=1), 0.0
    for name, params in _every_kind(usual):
        costs: list[Cost] = []
        for _ in range(rounds):
            with measured(costs):
                encode_segment([clip], params, folder / "segment.mov")
        cheapest_s = min(cost.cpu_s for cost in costs)
        first_s = first_s or cheapest_s
        yield name, cheapest_s / first_s


def _every_kind(usual: SegmentParams) -> Iterator[tuple[str, SegmentParams]]:
    for codec in (name for name, each in CODECS.items() if each.has_crf):
        for preset in (USUAL_PRESET, *(each for each in PRESETS if each != USUAL_PRESET)):
            plain = CODECS[codec].pixel_format
            yield f"{codec}, {preset}", replace(usual, codec=codec, preset=preset, pixel_format=plain)
        for pixel_format in CODECS[codec].pixel_formats[1:]:
            yield f"{codec}, {pixel_format}", replace(usual, codec=codec, pixel_format=pixel_format)
    for profile, each in PROFILES.items():
        pixels = each.pixel_format
        yield f"prores, {profile}", replace(usual, codec="prores", profile=profile, pixel_format=pixels)
    for codec in ("ffv1", "png"):
        yield codec, replace(usual, codec=codec, pixel_format=CODECS[codec].pixel_format)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--codec", choices=list(CODECS), default="h264")
    parser.add_argument("--preset", default="medium")
    parser.add_argument("--frames", type=int, default=80)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kinds", action="store_true", help="every kind of segment against H.264")
    chosen = parser.parse_args()
    if chosen.kinds:
        with tempfile.TemporaryDirectory() as folder:
            for name, ratio in kinds(chosen.frames, chosen.rounds, Path(folder)):
                print(f"{name}: {ratio:.2f}", flush=True)
        return
    with tempfile.TemporaryDirectory() as folder:
        result = compare(settings(chosen.codec, chosen.preset, chosen.frames), chosen.rounds, Path(folder))
    machine = f"{platform.machine()}, {os.cpu_count()} cores, {find_ffmpeg().build_id}"
    print(
        json.dumps(
            {**asdict(result), "bar": BAR, "passes": result.ratio >= BAR, "machine": machine}, indent=2
        )
    )
    if result.ratio < BAR:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
