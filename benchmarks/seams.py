"""Seams: the stitched film against one decode of the whole chain.

    python -m benchmarks.seams

Each film is a Generate and several Extends. The reference is a single decode of the film's final latents.
Measured is the PSNR of the frames within 16 of each seam, for every decode context, overlap and seam mode.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from actors.chain import gather
from actors.engines.base import on_host
from actors.engines.make import make_engine
from actors.payload import Payload
from actors.steps.run import run_stage
from actors.steps.segment import owned_blocks
from jobs.frames import DecodeWindow, Span, frames_of
from jobs.planning.params import DecodeParams, SegmentParams
from jobs.planning.plan import make_plan
from jobs.spec.engine import EngineConfig
from jobs.spec.job import JobSpec
from jobs.tasks.graph import build_graph
from jobs.tasks.task import Stage, StageTask, TaskGraph

if TYPE_CHECKING:
    from actors.engines.base import Engine
    from jobs.planning.planned import PlannedVideo

PROMPTS = (
    "a red ball bounces over a teal background",
    "a yellow cube moves right over a navy background",
    "a purple triangle moves up over a gray background",
    "a blue ball moves left over a black background",
)
CONTEXTS = (1, 2, 4, 8)
OVERLAPS = (8, 16, 24, 32)
MODES = ("crossfade", "lag")
NEAR_FRAMES = 16
DEFAULT_CONTEXT, DEFAULT_OVERLAP = 4, 16
MEAN_BAR_DB, SEAM_BAR_DB = 44.0, 38.0


@dataclass(frozen=True)
class Setting:
    """One cell of the tables; `overlap_frames` in frames, `context` in latents."""

    overlap_frames: int
    context: int
    mode: str


@dataclass(frozen=True)
class Film:
    """The sampled chain of one prompt: artifacts by task id, and its final latents `[1, C, E, h, w]`."""

    prompt: str
    artifacts: dict[str, Payload]
    chain: np.ndarray


def main() -> None:
    options = _parser().parse_args()
    engine = make_engine(EngineConfig(checkpoint=options.checkpoint), "cpu", options.threads)
    engine.setup(frozenset({Stage.ENCODE, Stage.SAMPLE, Stage.DECODE}))
    results: dict[Setting, list[float]] = {}
    for prompt in PROMPTS[options.skip : options.skip + options.films]:
        for overlap_frames in options.overlaps:
            for setting, decibels in measure(engine, prompt, overlap_frames, options):
                results.setdefault(setting, []).extend(decibels)
                print(prompt, setting, " ".join(f"{value:.1f}" for value in decibels), flush=True)
    text = report(results, options)
    print(text)
    if options.out:
        Path(options.out).write_text(text)
    default = results.get(Setting(DEFAULT_OVERLAP, DEFAULT_CONTEXT, "crossfade"))
    if default is None:
        return
    if np.mean(default) < MEAN_BAR_DB or min(default) < SEAM_BAR_DB:
        raise SystemExit(f"below the bar of {MEAN_BAR_DB} dB on average and {SEAM_BAR_DB} dB per seam")


def measure(
    engine: Engine, prompt: str, overlap_frames: int, options: argparse.Namespace
) -> Iterator[tuple[Setting, list[float]]]:
    """PSNR per seam in every context and mode, on one sampled chain."""
    film = sample_film(engine, _graph(prompt, Setting(overlap_frames, 1, "crossfade"), options)[1], prompt)
    reference = decode_whole(engine, film, options)
    for mode in MODES:
        for context in options.contexts:
            setting = Setting(overlap_frames, context, mode)
            video, graph = _graph(prompt, setting, options)
            stitched = stitch(engine, graph, film.artifacts)
            yield setting, [psnr_near(stitched, reference, seam) for seam in seams_of(video)]


def sample_film(engine: Engine, graph: TaskGraph, prompt: str) -> Film:
    """Run the encodes and samples of a one-film graph."""
    artifacts: dict[str, Payload] = {}
    spans: list[Span] = []
    for task in graph.tasks.values():
        if task.stage in {Stage.ENCODE, Stage.SAMPLE}:
            artifacts[task.id] = _run(engine, task, artifacts)
        if task.stage is Stage.SAMPLE:
            spans.append(task.params.span.artifact)  # type: ignore[union-attr]
    latents = [payload["latents"] for name, payload in artifacts.items() if name.endswith(Stage.SAMPLE)]
    return Film(prompt, artifacts, gather(latents, spans, Span(0, spans[-1].stop)))


def decode_whole(engine: Engine, film: Film, options: argparse.Namespace) -> np.ndarray:
    """One decode of the whole chain: uint8 `[F, H, W, 3]`."""
    whole = Span(0, film.chain.shape[2])
    window = DecodeWindow(whole, whole, Span(0, frames_of(whole.stop)))
    params = DecodeParams(options.size, options.size, (whole,), window, 0, 25.0)
    return on_host(engine.decode(params, Payload({"latents": film.chain})))


def stitch(engine: Engine, graph: TaskGraph, artifacts: Mapping[str, Payload]) -> np.ndarray:
    """The film before encoding: decode every window, cross-fade, concatenate what each chunk owns."""
    known = dict(artifacts)
    pieces: list[np.ndarray] = []
    for task in graph.tasks.values():
        if task.stage is Stage.DECODE:
            known[task.id] = _run(engine, task, known)
        if isinstance(task.params, SegmentParams) and task.needs:
            inputs = _inputs(task, known)
            previous = inputs.get("previous", [None])[0]
            pieces += owned_blocks(task.params, inputs["frames"], previous)
    return np.concatenate(pieces)


def seams_of(video: PlannedVideo) -> list[int]:
    """The film's frames at which the owner changes."""
    return [chunk.owned.start for chunk in video.chunks[1:]]


def psnr_near(film: np.ndarray, reference: np.ndarray, seam: int) -> float:
    """PSNR in dB over the frames within `NEAR_FRAMES` of a seam."""
    near = slice(max(0, seam - NEAR_FRAMES), seam + NEAR_FRAMES)
    error = np.mean((film[near].astype(np.float64) - reference[near].astype(np.float64)) ** 2)
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)


def report(results: Mapping[Setting, list[float]], options: argparse.Namespace) -> str:
    """The page with one table per seam mode."""
    count = len(next(iter(results.values())))
    lines = [
        "# Seams",
        "",
        "The stitched film against one decode of the same latents: mean PSNR in dB over the frames within",
        f"{NEAR_FRAMES} of a seam, with the worst seam in brackets. Bundled tiny model,",
        f"{options.size} x {options.size}, {count} seams per cell.",
        f"Made by `python -m benchmarks.seams {' '.join(sys.argv[1:])}`.",
        "",
    ]
    titles = {
        "crossfade": "`seam: crossfade` (default): each chunk decodes its own tail, pixels are cross-faded",
        "lag": "`seam: lag`: a chunk is decoded after the next is sampled, with context on both sides",
    }
    for mode in MODES:
        lines += [f"## {titles[mode]}", "", *_table(results, mode, options), ""]
    return "\n".join(lines)


def _table(results: Mapping[Setting, list[float]], mode: str, options: argparse.Namespace) -> Iterator[str]:
    yield "| overlap_frames | " + " | ".join(f"context {context}" for context in options.contexts) + " |"
    yield "| --- |" + " --- |" * len(options.contexts)
    for overlap in options.overlaps:
        cells = [results[Setting(overlap, context, mode)] for context in options.contexts]
        texts = (f"{np.mean(cell):.1f} ({min(cell):.1f})" for cell in cells)
        yield f"| {overlap} | " + " | ".join(texts) + " |"


def _graph(prompt: str, setting: Setting, options: argparse.Namespace) -> tuple[PlannedVideo, TaskGraph]:
    extend = {"num_new_frames": 80, "overlap_frames": setting.overlap_frames, "repeat": options.extends}
    spec: dict[str, Any] = {
        "name": "seams",
        "defaults": {"width": options.size, "height": options.size, "prompt": prompt, "seed": options.seed},
        "decode": {"context": setting.context, "seam": setting.mode},
        "videos": [{"name": "film", "chunks": [{"generate": {"num_frames": 97}}, {"extend": extend}]}],
    }
    plan = make_plan(JobSpec.model_validate(spec))
    return plan.videos[0], build_graph(plan)


def _run(engine: Engine, task: StageTask, known: Mapping[str, Payload]) -> Payload:
    with tempfile.TemporaryDirectory() as scratch:
        result = run_stage(task, _inputs(task, known), engine, Path(scratch))
    assert isinstance(result, Payload)
    return result


def _inputs(task: StageTask, known: Mapping[str, Payload]) -> dict[str, list[Payload]]:
    inputs: dict[str, list[Payload]] = {}
    for need in task.needs:
        inputs.setdefault(need.role, []).append(known[need.task])
    return inputs


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", help="single file or folder; left out: the bundled tiny model")
    parser.add_argument("--films", type=int, default=len(PROMPTS), help="how many prompts")
    parser.add_argument("--skip", type=int, default=0, help="prompts to leave out at the start")
    parser.add_argument("--overlaps", type=int, nargs="+", default=list(OVERLAPS), help="frames")
    parser.add_argument("--contexts", type=int, nargs="+", default=list(CONTEXTS), help="latents")
    parser.add_argument("--extends", type=int, default=4, help="extends per film")
    parser.add_argument("--size", type=int, default=128, help="width and height, pixels")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", help="where the page goes")
    return parser


if __name__ == "__main__":
    main()
