"""The farm's diffusers engine on the same file, its own runner and sampler, with every step kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from lightricks import Words
from torch import Tensor

from actors.engines.base import Arriving
from actors.engines.diffusers import runner as runner_module
from actors.engines.diffusers.files import find_files
from actors.engines.diffusers.runner import Runner
from actors.payload import Payload, from_torch, to_torch
from jobs.frames import ChunkSpan
from jobs.params import GuideUse, PlannedGuider, SampleParams, Sampling, UpscaleParams
from jobs.spec import EngineConfig

CHANNELS = 128
SEED = 11
FRAME_RATE = 24.0
TAIL = 2

SAMPLING = Sampling(6, 3.0, "euler", None, PlannedGuider(), 2.05, 0.95)


def noise(latents: int, height: int, width: int, seed: int = SEED) -> Tensor:
    """What the farm draws for a sequence `[1, 128, latents, height, width]` of clip and guides."""
    return torch.randn(1, CHANNELS, latents, height, width, generator=torch.Generator().manual_seed(seed))


@dataclass
class Farm:
    """One runner, and how a clip of 3 latents of 4 x 4 is sampled by it."""

    runner: Runner
    conditioning: Payload

    @classmethod
    def load(cls, path: Path, positive: Words, negative: Words, **engine: Any) -> Farm:
        config = EngineConfig.model_validate({"checkpoint": str(path), **engine})
        sides = {"positive": positive, "negative": negative}
        tensors = {name: words for name, (words, _) in sides.items()}
        tensors |= {f"{name}_mask": mask.bool() for name, (_, mask) in sides.items()}
        return cls(Runner(find_files(config), "cpu", "float32", 1), from_torch(tensors))

    def sample(
        self, guides: Sequence[tuple[Tensor, int]] = (), tail: Tensor | None = None, **sampling: Any
    ) -> list[Tensor]:
        """The clip after every step, first with its start. Guides are (latents, frame)."""
        overlap = 0 if tail is None else TAIL
        params = SampleParams(
            kind="generate" if tail is None else "extend",
            width=128,
            height=128,
            span=ChunkSpan(overlap, 3 - overlap, 3),
            frame_rate=FRAME_RATE,
            seed=SEED,
            sampling=replace(SAMPLING, **sampling),
            guides=tuple(GuideUse(frame, 1.0, 1.0) for _, frame in guides),
            overlap_strength=1.0,
            attention_mode="default",
            ffn_chunks=0,
        )
        images = [from_torch({"latents": latents}) for latents, _ in guides]
        held = None if tail is None else from_torch({"latents": tail})
        return self.steps(lambda: self.runner.sample(params, self.conditioning, images, held))

    def upscale(self, latents: Tensor, adain: float, **sampling: Any) -> list[Tensor]:
        """The 2x clip after every step of its second pass, first with its start."""
        params = UpscaleParams(
            width=128,
            height=128,
            span=ChunkSpan(0, 3, 3),
            frame_rate=FRAME_RATE,
            seed=SEED,
            sampling=replace(SAMPLING, **sampling),
            guided=False,
            trusted=0,
            overlap_strength=1.0,
            attention_mode="default",
            ffn_chunks=0,
            adain=adain,
        )
        first = from_torch({"latents": latents})
        return self.steps(lambda: self.runner.upscale(params, first, self.conditioning, None))

    def steps(self, run: Callable[[], Payload | Arriving]) -> list[Tensor]:
        """What `run` passes through the Euler sampler, cut to the clip; the last is what it answers with."""
        seen: list[Tensor] = []
        euler = runner_module.SAMPLERS["euler"]

        def recording(denoise: Any, *rest: Any) -> Tensor:
            def watched(x: Tensor, sigma: Tensor) -> Tensor:
                seen.append(x.clone())
                return denoise(x, sigma)

            return euler(watched, *rest)

        runner_module.SAMPLERS["euler"] = recording
        try:
            made = run()
        finally:
            runner_module.SAMPLERS["euler"] = euler
        final = to_torch(made.land() if isinstance(made, Arriving) else made, "latents")
        return [x[:, :, : final.shape[2]] for x in seen] + [final]
