"""The farm's steps of a film with temporal rounds: one chunk of 49 frames, on a narrow LTX-2.5 file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from actors.payload import Payload
from jobs.frames import ChunkSpan, Span, frames_of
from jobs.planning.params import Excerpt, PassParams, StageParams, Upsampling
from jobs.planning.rounds.layout import (
    ROUND_SIGMAS,
    Tile,
    canvas_latents,
    canvas_seams,
    seams,
    seen_rate,
    tiles,
)
from jobs.planning.rounds.params import CanvasParams, HeardStretch, TileParams
from jobs.planning.sampling import GuideUse, PlannedGuider, Sampling
from jobs.tasks.task import Stage, StageTask

RATE, LATENTS, SIDE = 24.0, 7, 64
SECONDS = frames_of(LATENTS) / RATE
SEAMS = tuple(8 * seam for seam in seams(LATENTS))
FIRST = (1.0, 0.99375, 0.9875, 0.98125)
SECOND = (0.909375, 0.725, 0.421875)
"""Noise levels without the last, which is 0."""
SEED = 1


class EqualNoise:
    """In the place of the farm's noise: what a pipeline of diffusers draws, token by token.

    A tile has `steps` of its own, and its sound is not noised.
    """

    def __init__(self, starts: Any = None, steps: Any = None) -> None:
        import torch

        self.starts = starts or torch.Generator().manual_seed(SEED)
        self.steps = steps

    def __call__(self, _noises: Any, pieces: Sequence[Any], _within: int, sound: Any, _device: Any) -> Any:
        sizes = (sum(piece.latents[0, 0].numel() for piece in pieces), sound.latents.shape[2])
        return lambda: self._drawn(self.starts, sizes), lambda: self._drawn(self.steps, sizes)

    def _drawn(self, generator: Any, sizes: tuple[int, int]) -> Any:
        import torch

        picture = torch.randn(1, sizes[0], 128, generator=generator)
        size = (1, sizes[1], 128)
        heard = torch.zeros(size) if self.steps else torch.randn(size, generator=generator)
        return torch.cat([picture, heard], dim=1)


@dataclass(frozen=True)
class Rounds:
    """An engine, and what its prompt says."""

    engine: Any
    words: Payload

    @classmethod
    def of(cls, checkpoint: Path, upsamplers: tuple[Path, Path], words: dict[Any, Any]) -> Rounds:
        from actors.engines.diffusers.engine import DiffusersEngine
        from actors.engines.diffusers.files import find_files
        from actors.engines.diffusers.guidance import Forward
        from actors.engines.diffusers.ltx2.runner import Ltx2Runner
        from actors.payload import from_torch
        from jobs.spec.engine import EngineConfig

        config = EngineConfig(checkpoint=str(checkpoint), upscale_model=str(upsamplers[0]))
        engine = DiffusersEngine(config, "cpu", 1)
        files = replace(find_files(config), temporal_upscale_model=upsamplers[1])
        engine._runner = Ltx2Runner(files, "cpu", "float32", 1)
        import torch

        said = words[Forward.POSITIVE]
        mask = torch.ones(1, said.video.shape[1], dtype=torch.bool)
        tensors = {
            f"{which}{part}": value
            for which in ("positive", "negative")
            for part, value in (("", said.video), ("_audio", said.audio), ("_mask", mask))
        }
        return cls(engine, from_torch(tensors))

    def run(self, stage: Stage, params: StageParams, noise: EqualNoise, **inputs: Any) -> Payload:
        """What a stage makes of these inputs."""
        from actors.engines.diffusers.ltx2 import denoise
        from actors.steps.run import run_stage

        task = StageTask("task", stage, "v", 0, 0, (), params, 0)
        roles = {
            role: found if isinstance(found, list) else [found]
            for role, found in {"conditioning": self.words, **inputs}.items()
        }
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(denoise, "noise_of_tokens", noise)
            made = run_stage(task, roles, self.engine, Path())
        assert isinstance(made, Payload)
        return made


def sampling(sigmas: Sequence[float]) -> Sampling:
    return Sampling(len(sigmas), 1.0, "euler", (*sigmas, 0.0), PlannedGuider(), 2.05, 0.95)


def first_pass(guides: tuple[GuideUse, ...]) -> PassParams:
    return PassParams(
        width=SIDE, height=SIDE, span=ChunkSpan(0, LATENTS, LATENTS), frame_rate=RATE, seed=SEED,
        sampling=sampling(FIRST), guides=guides, overlap_strength=1.0, attention_mode="auto", ffn_chunks=1,
        audio_mode="generate", slots=SEAMS,
    )  # fmt: skip


def second_pass(guides: tuple[GuideUse, ...]) -> PassParams:
    whole = Span(0, LATENTS)
    return replace(
        first_pass(guides), width=2 * SIDE, height=2 * SIDE, sampling=sampling(SECOND), audio_mode="hold",
        upsampling=Upsampling(), excerpt=Excerpt((whole,), 0), keyframes=SEAMS,
    )  # fmt: skip


def canvas(number: int, parts: tuple[int, ...]) -> CanvasParams:
    made = CanvasParams(2 * SIDE, 2 * SIDE, parts, starts_at_seam=False)
    assert made.latents == canvas_latents(LATENTS, number)
    return made


def tiles_of(number: int) -> tuple[Tile, ...]:
    return tiles(canvas_seams(LATENTS, number), 2**number, False)


def tile_params(number: int, tile: Tile, guides: tuple[GuideUse, ...]) -> TileParams:
    played, frames = RATE * 2**number, tile.frames
    heard = HeardStretch(Span(0, LATENTS), RATE, frames.start / played, len(frames) / played)
    return TileParams(
        width=2 * SIDE, height=2 * SIDE, latents=canvas_latents(LATENTS, number), tile=tile,
        frame_rate=seen_rate(played), heard=heard, guides=guides,
        sampling=replace(sampling(()), sigmas=ROUND_SIGMAS), seed=SEED, attention_mode="auto", ffn_chunks=1,
    )  # fmt: skip
