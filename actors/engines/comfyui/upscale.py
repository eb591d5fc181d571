"""Twice the width and height in latent space."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from actors.engines.comfyui.core.nodes import Core


def upsample(core: Core, upscale_model: Any, vae: Any, latents: torch.Tensor) -> torch.Tensor:
    """`[1, C, T, h, w]` -> `[1, C, T, 2h, 2w]`: un-normalise, LATENT_UPSCALE_MODEL, normalise."""
    core.require("upscale")
    latent = {"samples": latents}
    return core.call("LTXVLatentUpsampler", samples=latent, upscale_model=upscale_model, vae=vae)[0][
        "samples"
    ]
