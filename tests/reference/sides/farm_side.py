"""The farm's engines on the same file, their own samplers, with every step kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from actors.engines.base import Arriving
from actors.engines.diffusers.files import find_files
from actors.engines.diffusers.ltx_video import runner as runner_module
from actors.engines.diffusers.ltx_video.runner import Runner
from actors.payload import Payload, from_torch, to_torch
from jobs.frames import ChunkSpan
from jobs.planning.params import GuideUse, PlannedGuider, SampleParams, Sampling, UpscaleParams
from jobs.spec.engine import EngineConfig

if TYPE_CHECKING:
    import numpy as np
    from lightricks import Words

CHANNELS = 128
SEED = 11
FRAME_RATE = 24.0
TAIL = 2

SAMPLING = Sampling(6, 3.0, "euler", None, PlannedGuider(), 2.05, 0.95)


def noise(latents: int, height: int, width: int, seed: int = SEED) -> Tensor:
    """What the farm draws for a sequence `[1, 128, latents, height, width]` of clip and guides."""
    return torch.randn(1, CHANNELS, latents, height, width, generator=torch.Generator().manual_seed(seed))


class Farm:
    """An engine of the farm, and how a clip of 3 latents of 4 x 4 is sampled by it."""

    conditioning: Payload

    def encode(self, frames: np.ndarray) -> Tensor:
        """uint8 `[F, H, W, 3]` -> latents."""
        raise NotImplementedError

    def run_sample(
        self, params: SampleParams, guides: list[Payload], tail: Payload | None
    ) -> Payload | Arriving:
        raise NotImplementedError

    def run_upscale(self, params: UpscaleParams, latents: Payload) -> Payload | Arriving:
        raise NotImplementedError

    def watching(self, seen: list[Tensor], sampler: str) -> AbstractContextManager[None]:
        """Inside, the sampler puts what it gives the model into `seen`."""
        raise NotImplementedError

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
        return self.steps(lambda: self.run_sample(params, images, held), params.sampling.sampler)

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
        return self.steps(lambda: self.run_upscale(params, first), params.sampling.sampler)

    def steps(self, run: Callable[[], Payload | Arriving], sampler: str) -> list[Tensor]:
        """What `run` passes through the sampler, cut to the clip; the last is what it answers with."""
        seen: list[Tensor] = []
        with self.watching(seen, sampler):
            made = run()
        final = to_torch(made.land() if isinstance(made, Arriving) else made, "latents")
        return [x[:, :, : final.shape[2]] for x in seen] + [final]


@dataclass
class DiffusersFarm(Farm):
    """The diffusers engine."""

    runner: Runner
    conditioning: Payload

    @classmethod
    def load(cls, path: Path, positive: Words, negative: Words, **engine: Any) -> DiffusersFarm:
        config = EngineConfig.model_validate({"checkpoint": str(path), **engine})
        conditioning = conditioning_of(positive, negative, torch.bool)
        return cls(Runner(find_files(config), "cpu", "float32", 1), conditioning)

    def encode(self, frames: np.ndarray) -> Tensor:
        return to_torch(self.runner.encode_frames(frames), "latents")

    def run_sample(
        self, params: SampleParams, guides: list[Payload], tail: Payload | None
    ) -> Payload | Arriving:
        return self.runner.sample(params, self.conditioning, guides, tail)

    def run_upscale(self, params: UpscaleParams, latents: Payload) -> Payload | Arriving:
        return self.runner.upscale(params, latents, self.conditioning, [], None)

    @contextmanager
    def watching(self, seen: list[Tensor], sampler: str) -> Iterator[None]:
        own = runner_module.SAMPLERS[sampler]

        def recording(denoise: Any, *rest: Any) -> Tensor:
            def watched(x: Tensor, sigma: Tensor) -> Tensor:
                seen.append(x.clone())
                return denoise(x, sigma)

            return own(watched, *rest)

        runner_module.SAMPLERS[sampler] = recording
        try:
            yield
        finally:
            runner_module.SAMPLERS[sampler] = own


def conditioning_of(positive: Words, negative: Words, mask: torch.dtype) -> Payload:
    """Both prompts as an encode task stores them: each engine's masks are of one number type."""
    sides = {"positive": positive, "negative": negative}
    tensors = {name: words for name, (words, _) in sides.items()}
    return from_torch(tensors | {f"{name}_mask": seen.to(mask) for name, (_, seen) in sides.items()})
