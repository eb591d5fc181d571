"""RS LTXV Tiny Prompt: conditioning for the bundled tiny model, whose text encoder core does not know."""

from __future__ import annotations

from typing import Any, ClassVar

from farm.nodes.tables import CATEGORY, Table


class RSLTXVTinyPrompt:
    """Two sentences to conditioning, through the tiny checkpoint's own text encoder."""

    DESCRIPTION = "Conditioning for ltx-farm's bundled tiny model. Real models take CLIP Text Encode."
    CATEGORY = CATEGORY
    FUNCTION = "encode"
    RETURN_TYPES: ClassVar[tuple[str, ...]] = ("CONDITIONING", "CONDITIONING")
    RETURN_NAMES: ClassVar[tuple[str, ...]] = ("positive", "negative")

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Table]:
        return {
            "required": {
                "prompt": (
                    "STRING",
                    {"default": "a red ball bounces over a teal background", "multiline": True},
                ),
                "negative": ("STRING", {"default": "", "multiline": True}),
            }
        }

    def encode(self, prompt: str, negative: str) -> tuple[Any, Any]:
        """(CONDITIONING, CONDITIONING)."""
        from actors.engines.comfyui.loading.tiny import tiny_conditioning

        return tiny_conditioning(prompt), tiny_conditioning(negative)
