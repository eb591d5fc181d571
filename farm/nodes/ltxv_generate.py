"""RS LTXV Generate: one clip from text, guide images and sound."""

from __future__ import annotations

from typing import Any, ClassVar

from farm.nodes.tables import (
    AFTER_IMAGES,
    CATEGORY,
    IMAGE,
    MAX_SIZE,
    MODELS,
    SAMPLING,
    Table,
    number,
    strength,
    with_defaults,
)  # fmt: skip


class RSLTXVGenerate:
    """A new clip of `num_frames` frames."""

    DESCRIPTION = "Generates an LTX-Video or LTX-2 clip, with guide images, sound, 2x upscale and decode."
    CATEGORY = CATEGORY
    FUNCTION = "generate"
    RETURN_TYPES: ClassVar[tuple[str, ...]] = ("LATENT", "IMAGE", "LATENT")
    RETURN_NAMES: ClassVar[tuple[str, ...]] = ("latent", "images", "audio_latent")

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Table]:
        return {
            "required": {
                **MODELS,
                "width": number(768, 64, MAX_SIZE, 32, "Pixels, a multiple of 32."),
                "height": number(512, 64, MAX_SIZE, 32, "Pixels, a multiple of 32."),
                "num_frames": number(97, 9, MAX_SIZE, 8, "Frames, 8k + 1."),
                **SAMPLING,
            },
            "optional": {
                "first_image": ("IMAGE",),
                "middle_image": ("IMAGE",),
                "last_image": ("IMAGE",),
                "first_strength": strength("the first image"),
                "middle_strength": strength("the middle image"),
                "last_strength": strength("the last image"),
                **IMAGE,
                **AFTER_IMAGES,
            },
        }

    def generate(self, **inputs: Any) -> tuple[dict[str, Any], Any, Any]:
        """(LATENT, IMAGE, LATENT of the sound); the image is one black frame unless `decode` is on."""
        from farm.nodes.flow import generate

        return generate(with_defaults(self, inputs))
