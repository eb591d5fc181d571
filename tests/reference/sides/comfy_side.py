"""The farm's comfyui engine: ComfyUI's own nodes, with every step kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from farm_side import Farm, conditioning_of
from torch import Tensor

from actors.engines.comfyui.engine import ComfyEngine
from actors.payload import Payload, to_torch
from jobs.spec.engine import EngineConfig

if TYPE_CHECKING:
    import numpy as np
    from lightricks import Words


@dataclass
class ComfyFarm(Farm):
    """The comfyui engine on the core that the session has started."""

    engine: ComfyEngine
    conditioning: Payload

    @classmethod
    def load(cls, path: Path, positive: Words, negative: Words, **engine: Any) -> ComfyFarm:
        named = {"name": "comfyui", "checkpoint": str(path), "dtype": "float32", **engine}
        config = EngineConfig.model_validate(named)
        return cls(ComfyEngine(config, "cpu", 1), conditioning_of(positive, negative, torch.long))

    def encode(self, frames: np.ndarray) -> Tensor:
        return to_torch(self.engine.encode_video(None, frames), "latents")  # type: ignore[arg-type]

    @contextmanager
    def watching(self, seen: list[Tensor], sampler: str) -> Iterator[None]:
        from comfy.k_diffusion import sampling

        name = f"sample_{sampler}"
        own = getattr(sampling, name)

        def recording(model: Any, *args: Any, **kwargs: Any) -> Tensor:
            def watched(x: Tensor, *rest: Any, **more: Any) -> Tensor:
                seen.append(x.clone())
                return model(x, *rest, **more)

            watched.inner_model = model.inner_model  # type: ignore[attr-defined]
            return own(watched, *args, **kwargs)

        setattr(sampling, name, recording)
        try:
            yield
        finally:
            setattr(sampling, name, own)
