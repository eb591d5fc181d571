"""RS LTXV Extend: more frames for a latent, continuing its motion."""

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


class RSLTXVExtend:
    """The given latent with `num_new_frames` more frames."""

    DESCRIPTION = (
        "Extends an LTX-Video or LTX-2 latent: the overlap guides the new clip and is blended with it."
    )
    CATEGORY = CATEGORY
    FUNCTION = "extend"
    RETURN_TYPES: ClassVar[tuple[str, ...]] = ("LATENT", "IMAGE", "LATENT")
    RETURN_NAMES: ClassVar[tuple[str, ...]] = ("latent", "images", "audio_latent")

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Table]:
        return {
            "required": {
                **MODELS,
                "latent": ("LATENT",),
                "num_new_frames": number(80, 8, MAX_SIZE, 8, "Frames added, a multiple of 8."),
                "overlap_frames": number(16, 8, MAX_SIZE, 8, "Frames looked back at, a multiple of 8."),
                "overlap_strength": strength("the overlap"),
                **SAMPLING,
            },
            "optional": {
                "last_image": ("IMAGE",),
                "last_strength": strength("the last image"),
                **IMAGE,
                **AFTER_IMAGES,
            },
        }

    def extend(self, **inputs: Any) -> tuple[dict[str, Any], Any, Any]:
        """(LATENT, IMAGE, LATENT of the sound). The latents are the whole chain, with its sound where the
        given one has it; the image is one black frame unless `decode` is on."""
        from farm.nodes.flow import extend

        return extend(with_defaults(self, inputs))
