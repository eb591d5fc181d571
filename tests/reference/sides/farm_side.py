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
from actors.engines.diffusers.ltx_video.runner import Runner
from actors.engines.diffusers.samplers import SAMPLERS
from actors.engines.pieces import PassSound, Piece
from actors.payload import Payload, from_torch, to_torch
from jobs.frames import ChunkSpan
from jobs.planning.params import PassParams, Upsampling
from jobs.planning.sampling import PlannedGuider, Sampling
from jobs.spec.engine import EngineConfig

if TYPE_CHECKING:
    import numpy as np
    from lightricks import Words

CHANNELS = 128
SEED = 11
FRAME_RATE = 24.0
TAIL = 2

SAMPLING = Sampling(6, 3.0, "euler", None, PlannedGuider(), 2.05, 0.95)
PASS = PassParams(
    width=128,
    height=128,
    span=ChunkSpan(0, 3, 3),
    frame_rate=FRAME_RATE,
    seed=SEED,
    sampling=SAMPLING,
    guides=(),
    overlap_strength=1.0,
    attention_mode="default",
    ffn_chunks=0,
)


def noise(latents: int, height: int, width: int, seed: int = SEED) -> Tensor:
    """What the farm draws for a sequence `[1, 128, latents, height, width]` of clip and guides."""
    return torch.randn(1, CHANNELS, latents, height, width, generator=torch.Generator().manual_seed(seed))


class Farm:
    """An engine of the farm, and how a clip of 3 latents of 4 x 4 is sampled by it."""

    engine: Any
    conditioning: Payload

    def encode(self, frames: np.ndarray) -> Tensor:
        """uint8 `[F, H, W, 3]` -> latents."""
        raise NotImplementedError

    def run_pass(self, run: PassParams, pieces: list[Piece]) -> Payload | Arriving:
        return self.engine.denoise(run, pieces, PassSound(), self.conditioning)

    def watching(self, seen: list[Tensor], sampler: str) -> AbstractContextManager[None]:
        """Inside, the sampler puts what it gives the model into `seen`."""
        raise NotImplementedError

    def sample(
        self, guides: Sequence[tuple[Tensor, int]] = (), tail: Tensor | None = None, **sampling: Any
    ) -> list[Tensor]:
        """The clip after every step, first with its start. Guides are (latents, frame)."""
        overlap = 0 if tail is None else TAIL
        run = replace(
            PASS,
            span=ChunkSpan(overlap, 3 - overlap, 3),
            sampling=replace(SAMPLING, **sampling),
        )
        pieces = [Piece(None)] if tail is None else [Piece(None), Piece(from_torch({"latents": tail}))]
        pieces += [Piece(from_torch({"latents": latents}), frame) for latents, frame in guides]
        return self.steps(lambda: self.run_pass(run, pieces), run.sampling.sampler)

    def upscale(self, latents: Tensor, adain: float, **sampling: Any) -> list[Tensor]:
        """The 2x clip after every step of its second pass, first with its start."""
        run = replace(PASS, width=256, height=256, sampling=replace(SAMPLING, **sampling))
        first = from_torch({"latents": latents})

        def second() -> Payload | Arriving:
            start = self.engine.upsample(first, Upsampling(adain))
            return self.run_pass(run, [Piece(start, hold=0.0)])

        return self.steps(second, run.sampling.sampler)

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

    engine: Runner
    conditioning: Payload

    @classmethod
    def load(cls, path: Path, positive: Words, negative: Words, **engine: Any) -> DiffusersFarm:
        config = EngineConfig.model_validate({"checkpoint": str(path), **engine})
        conditioning = conditioning_of(positive, negative, torch.bool)
        return cls(Runner(find_files(config), "cpu", "float32", 1), conditioning)

    def encode(self, frames: np.ndarray) -> Tensor:
        return to_torch(self.engine.encode_frames(frames), "latents")

    @contextmanager
    def watching(self, seen: list[Tensor], sampler: str) -> Iterator[None]:
        own = SAMPLERS[sampler]

        def recording(denoise: Any, *rest: Any) -> Tensor:
            def watched(x: Tensor, sigma: Tensor) -> Tensor:
                seen.append(x.clone())
                return denoise(x, sigma)

            return own(watched, *rest)

        SAMPLERS[sampler] = recording
        try:
            yield
        finally:
            SAMPLERS[sampler] = own


def conditioning_of(positive: Words, negative: Words, mask: torch.dtype) -> Payload:
    """Both prompts as an encode task stores them: each engine's masks are of one number type."""
    sides = {"positive": positive, "negative": negative}
    tensors = {name: words for name, (words, _) in sides.items()}
    return from_torch(tensors | {f"{name}_mask": seen.to(mask) for name, (_, seen) in sides.items()})
