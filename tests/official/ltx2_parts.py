"""LTX-2.5 as it is published, a file for each part: sparse, at full width."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tests.official.files import upsampler_shapes, write_sparse
from tests.official.ltx2_files import PREFIX, metadata, shapes
from tests.official.pixel_vae import write_pixel_vae

VAE, SOUND = "vae.", ("audio_vae.", "vocoder.")
CONVOLUTIONS = "ltx-2.5-video-vae-conv-bf16.safetensors"
DIFFUSION = "ltx-2.5-video-vae-bf16.safetensors"
FIELDS: Mapping[str, str] = {
    "ltx-2.5-22b-distilled-transformer-bf16.safetensors": "diffusion_model",
    CONVOLUTIONS: "vae",
    DIFFUSION: "vae",
    "ltx-2.5-audio-vae-bf16.safetensors": "audio_vae",
    "ltx-2.5-latent-spatial-upscaler-x2-bf16-1.0.safetensors": "upscale_model",
}
"""The field of the engine section that each file is for."""


def write_parts(folder: Path) -> dict[str, Path]:
    """All of `FIELDS` by name. The projection is in the file of the text encoder, which is not here. The
    upscaler is LTX-Video's, which is built alike."""
    transformer, video, sound, upscaler = (name for name in FIELDS if name != DIFFUSION)
    whole = shapes("2.5")
    bare = {
        transformer: {
            key.removeprefix(PREFIX): each for key, each in whole.items() if key.startswith(PREFIX)
        },
        video: {key.removeprefix(VAE): each for key, each in whole.items() if key.startswith(VAE)},
        sound: {key: each for key, each in whole.items() if key.startswith(SOUND)},
        upscaler: upsampler_shapes("spatial"),
    }
    written = {
        name: write_sparse(
            folder / name,
            {key: ("BF16", shape) for key, shape in part.items()},
            {} if name == upscaler else metadata("2.5"),
        )
        for name, part in bare.items()
    }
    return {**written, DIFFUSION: write_pixel_vae(folder / DIFFUSION)}
