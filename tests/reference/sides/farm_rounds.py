"""The farm's steps of a film with temporal rounds: one chunk of 49 frames, on a narrow LTX-2.5 file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from actors.payload import Payload
from jobs.planning.plan import make_plan
from jobs.planning.rounds.params import TileParams
from jobs.spec.job import JobSpec
from jobs.tasks.graph import build_graph
from jobs.tasks.task import Stage, StageTask

RATE, FRAMES, SIDE = 24.0, 49, 64
FIRST = (1.0, 0.99375, 0.9875, 0.98125)
SECOND = (0.909375, 0.725, 0.421875)
"""Noise levels without the last, which is 0."""
SEED, DETAILING = 1, 0.5
CHUNK = "clip/00000"


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


def film(files: Mapping[str, Path], lora: Path, image: Path) -> JobSpec:
    """The film, with an image at frame 0 and at frame 9. Only the second pass has the LoRA."""
    levels = {"cfg": 1.0, "sampler": "euler"}
    images = [{"image": str(image), "frame": frame} for frame in (0, 9)]
    chunk = {"generate": {"prompt": "a", "num_frames": FRAMES, "images": images}}
    return JobSpec.model_validate(
        {
            "name": "film",
            "engine": {
                "name": "diffusers", **{field: str(path) for field, path in files.items()},
                "loras": [{"path": str(lora), "strength": {"upscale": DETAILING, "rounds": 0.0}}],
            },
            "defaults": {
                "width": SIDE, "height": SIDE, "frame_rate": RATE, "image_strength": 1.0,
                **levels, "sigmas": (*FIRST, 0.0),
            },
            "upscale": {**levels, "sigmas": (*SECOND, 0.0), "temporal": 4},
            "videos": [{"name": "clip", "sound": [{"generate": True}], "chunks": [chunk]}],
        }
    )  # fmt: skip


@dataclass
class FarmSide:
    """An engine, the film's tasks, what each has made, and what prompts and images say by their encode's
    role and width."""

    engine: Any
    tasks: Mapping[str, StageTask]
    words: Payload
    images: Mapping[int, Payload]
    made: dict[str, Payload] = field(default_factory=dict)

    @classmethod
    def of(cls, spec: JobSpec, words: Payload, images: Mapping[int, Payload]) -> FarmSide:
        from actors.engines.make import make_engine

        engine = make_engine(spec.engine, "cpu", 1)
        engine.setup(frozenset({Stage.SAMPLE, Stage.UPSCALE}))
        return cls(engine, build_graph(make_plan(spec)).tasks, words, images)

    def run(self, name: str, noise: EqualNoise, strength: float = 1.0) -> Payload:
        """What a task makes; its images are held by `strength`."""
        from actors.engines.diffusers.ltx2 import denoise
        from actors.steps.run import run_stage

        task = self.tasks[name]
        inputs: dict[str, list[Payload]] = {}
        for need in task.needs:
            inputs.setdefault(need.role, []).append(self._input(task, need.role, need.task))
        params: Any = task.params
        if strength < 1:
            guides = tuple(replace(guide, strength=strength) for guide in params.guides)
            task = replace(task, params=replace(params, guides=guides))
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(denoise, "noise_of_tokens", noise)
            made = run_stage(task, inputs, self.engine, Path())
        assert isinstance(made, Payload)
        self.made[name] = made
        return made

    def tiles(self, number: int, strength: float) -> list[Payload]:
        """The tiles of a round, with the noise of a pipeline."""
        import torch

        canvas = f"{CHUNK}.r{number}/upscale"
        self.run(canvas, EqualNoise())
        starts = torch.Generator().manual_seed(SEED)
        found: list[Payload] = []
        for name in (name for name in self.tasks if name.startswith(f"{CHUNK}.r{number}-t")):
            assert isinstance(self.tasks[name].params, TileParams)
            steps = torch.Generator().manual_seed(SEED + 1000 * number + len(found))
            found.append(self.run(name, EqualNoise(starts, steps), strength))
        return found

    def _input(self, task: StageTask, role: str, name: str) -> Payload:
        params: Any = task.params
        if role == "conditioning":
            return self.words
        return self.images[params.width] if role == "guide" else self.made[name]
