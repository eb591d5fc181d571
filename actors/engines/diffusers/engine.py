"""LTX-Video and LTX-2 through diffusers' modules: the engine that needs nothing but torch and diffusers."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any, Literal

from actors.compute import compute_class
from actors.engines.diffusers.files import ModelFiles, find_files
from actors.packages import installed_versions
from jobs.errors import InvalidInput
from jobs.file_digests import file_digest

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from actors.engines.base import Arriving, FramesElsewhere, FreeLevel, LatentsElsewhere
    from actors.engines.diffusers.ltx2.runner import Ltx2Runner
    from actors.engines.diffusers.ltx_video.runner import Runner
    from actors.engines.pieces import PassSound, Piece
    from actors.payload import Payload
    from actors.ranks import Ranks
    from jobs.planning.params import (
        DecodeParams,
        EncodeAudio,
        EncodeClip,
        EncodeImage,
        EncodeSource,
        EncodeText,
        PassParams,
        Upsampling,
    )
    from jobs.planning.rounds.params import TileParams
    from jobs.spec.engine import EngineConfig
    from jobs.tasks.task import Stage

VERSION = 3
PACKAGES = ("torch", "diffusers", "transformers", "tokenizers", "sentencepiece", "sageattention")
"""Those whose kernels, models or tokenizers reach the bytes."""
"""Raised when this engine's code changes what it makes."""


class DiffusersEngine:
    """Implements `Engine`. Until `setup` neither torch nor diffusers is imported, so that a fingerprint is
    cheap."""

    name = "diffusers"

    def __init__(
        self, config: EngineConfig, device: str, threads: int, streamed: Collection[str] = ()
    ) -> None:
        """The blocks of `streamed` models, of `jobs.weights.use`, come over one by one from the start."""
        self.config = config
        self.device = device
        self.threads = threads
        self.streamed = streamed
        self._runner: Runner | None = None

    def paths(self) -> Sequence[Path]:
        return find_files(self.config).paths()

    def setup(self, stages: frozenset[Stage]) -> None:
        """Load what the stages need. Raises `SpecError` for models that do not fit the spec."""
        if self.device.startswith("cuda"):
            # Read once, when the first CUDA context is made; without it cuBLAS may sum in any order.
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        files = find_files(self.config)
        self._runner = _runner_for(files)(files, self.device, self.dtype, self.threads)
        self._runner.stream(self.streamed)
        self._runner.load(stages)

    def join(self, ranks: Ranks) -> None:
        self._ready().ranks = ranks

    def shares(self, params: DecodeParams) -> bool:
        return self._ready().shares(params)

    def difference(self, run: PassParams | TileParams) -> float:
        from actors.engines.diffusers.proof import difference

        return difference(self._ready(), run)

    @property
    def dtype(self) -> str:
        """Number type of the models: bfloat16 on a GPU and float32 on a CPU, unless the spec says."""
        if self.config.dtype != "auto":
            return self.config.dtype
        return "bfloat16" if self.device.startswith("cuda") else "float32"

    def fingerprint(self) -> dict[str, Any]:
        """Entries named like a stage concern that stage alone."""
        by_stage = find_files(self.config).digests()
        return {
            "engine": self.name,
            "version": VERSION,
            "packages": installed_versions(PACKAGES),
            "compute": compute_class(self.device),
            "dtype": self.dtype,
            **self._kernels(),
            "threads": self.threads,
            "encode": by_stage["encode"],
            "sample": by_stage["sample"],
            "upscale": by_stage["upscale"],
            "decode": by_stage["decode"],
        }

    def _kernels(self) -> dict[str, str]:
        """Whether blocks have kernels of their own, which round otherwise; on a CPU nothing has."""
        if not self.device.startswith("cuda"):
            return {}
        from actors.engines.diffusers.fused.choice import kernels_here

        return {"kernels": kernels_here(), **installed_versions(("triton",))}

    def modes(self) -> dict[str, str]:
        return {"attention_mode": self.attention_kernel()}

    def sources(self) -> dict[str, dict[str, str]]:
        files = {str(path): file_digest(path) for path in self.paths()}
        return {"packages": installed_versions(PACKAGES), "files": files}

    def attention_kernel(self) -> str:
        """What `attention_mode: auto` means here: torch's own choice on a CPU; on a GPU the fastest kernel
        that agrees with it, by size, measured once."""
        return self._ready().attention_choice()

    def encode_text(self, params: EncodeText) -> Payload:
        return self._ready().encode_text(params.prompt, params.negative)

    def encode_image(self, params: EncodeImage, pixels: np.ndarray) -> Payload:
        return self._ready().encode_frames(pixels[None])

    def encode_video(self, params: EncodeSource | EncodeClip, frames: np.ndarray) -> Payload:
        return self._ready().encode_frames(frames)

    def encode_audio(self, params: EncodeAudio, samples: np.ndarray) -> Payload:
        return self._ltx2("NO_SOUND").encode_audio(params, samples)

    def upsample(self, latents: Payload, how: Upsampling) -> Payload | LatentsElsewhere:
        return self._ready().upsample(latents, how)

    def still(self, latents: Payload, frame: int, how: Upsampling) -> Payload | LatentsElsewhere:
        return self._ready().still(latents, frame, how)

    def denoise(
        self, run: PassParams, pieces: Sequence[Piece], sound: PassSound, conditioning: Payload
    ) -> Payload | Arriving:
        return self._ready().denoise(run, pieces, sound, conditioning)

    def interpolate(self, latents: Payload) -> Payload | Arriving:
        return self._ltx2("NO_ROUNDS").interpolate(latents)

    def refine(
        self, run: TileParams, pieces: Sequence[Piece], sound: PassSound, conditioning: Payload
    ) -> Payload | Arriving:
        return self._ltx2("NO_ROUNDS").refine(run, pieces, sound, conditioning)

    def decode(self, params: DecodeParams, latents: Payload) -> np.ndarray | FramesElsewhere:
        return self._ready().decode(params, latents)

    def decode_sound(self, params: DecodeParams, latents: Payload) -> tuple[np.ndarray, int]:
        return self._ltx2("NO_SOUND").decode_sound(params, latents)

    def free(self, level: FreeLevel) -> None:
        if self._runner is not None:
            self._runner.free(level)

    def close(self) -> None:
        if self._runner is not None:
            self._runner.residents.close()
            self._runner = None

    def _ltx2(self, otherwise: Literal["NO_SOUND", "NO_ROUNDS"]) -> Ltx2Runner:
        """Raises `InvalidInput` where a model of LTX-Video runs; `otherwise` says what that has not."""
        from actors.engines.diffusers.ltx2.runner import Ltx2Runner
        from actors.engines.diffusers.ltx_video import runner as of_ltx_video

        runner = self._ready()
        if not isinstance(runner, Ltx2Runner):
            raise InvalidInput(getattr(of_ltx_video, otherwise))
        return runner

    def _ready(self) -> Runner:
        if self._runner is None:
            raise RuntimeError("the engine is used before setup")
        return self._runner


def _runner_for(files: ModelFiles) -> type[Runner]:
    """What runs the models of this family."""
    if files.makes_sound:
        from actors.engines.diffusers.ltx2.runner import Ltx2Runner

        return Ltx2Runner
    from actors.engines.diffusers.ltx_video.runner import Runner

    return Runner
