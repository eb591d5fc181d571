"""What the benchmark adds to ComfyUI: encoded words, and the end of a graph. ComfyUI loads this file alone,
from its folder of custom nodes."""

from __future__ import annotations

from typing import Any

CATEGORY = "benchmark"


class ReadyConditioning:
    """In place of the text encoder: `[1, tokens, width]`, random."""

    RETURN_TYPES = ("CONDITIONING",)
    FUNCTION = "give"
    CATEGORY = CATEGORY

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        whole = ("INT", {"min": 0, "max": 1 << 20})
        return {"required": dict.fromkeys(("tokens", "width", "seed"), whole)}

    def give(self, tokens: int, width: int, seed: int) -> tuple[Any]:
        import torch

        generator = torch.Generator().manual_seed(seed)
        return ([[torch.randn(1, tokens, width, generator=generator), {}]],)


class InHostMemory:
    """In place of a file: the shape and device of frames and sound are told."""

    RETURN_TYPES = ()
    FUNCTION = "tell"
    CATEGORY = CATEGORY
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"images": ("IMAGE",), "audio": ("AUDIO",)}}

    def tell(self, images: Any, audio: dict[str, Any]) -> dict[str, Any]:
        parts = (images, audio["waveform"])
        return {"ui": {"made": [[list(part.shape), part.device.type] for part in parts]}}


NODE_CLASS_MAPPINGS: dict[str, Any] = {
    "ReadyConditioning": ReadyConditioning,
    "InHostMemory": InHostMemory,
}
