"""LTX-2.5 as it is published, a file for each part: sparse, at full width."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tests.official.files import Shapes, upsampler_shapes, write_sparse
from tests.official.ltx2_files import PREFIX, metadata, shapes
from tests.official.pixel_vae import write_pixel_vae
from tests.official.upsamplers import wide_upsampler_shapes

VAE, SOUND = "vae.", ("audio_vae.", "vocoder.")
TRANSFORMER = "ltx-2.5-22b-distilled-transformer-bf16.safetensors"
CONVOLUTIONS = "ltx-2.5-video-vae-conv-bf16.safetensors"
DIFFUSION = "ltx-2.5-video-vae-bf16.safetensors"
FIELDS: Mapping[str, str] = {
    TRANSFORMER: "diffusion_model",
    CONVOLUTIONS: "vae",
    DIFFUSION: "vae",
    "ltx-2.5-audio-vae-bf16.safetensors": "audio_vae",
    "ltx-2.5-latent-spatial-upscaler-x2-bf16-1.0.safetensors": "upscale_model",
}
"""The field of the engine section that each file is for."""


def write_parts(folder: Path) -> dict[str, Path]:
    """All of `FIELDS` by name. The projection is in the file of the text encoder, which is not here."""
    written = {
        name: write_sparse(
            folder / name,
            {key: ("BF16", shape) for key, shape in part.items()},
            {} if "upscaler" in name else metadata("2.5"),
        )
        for name, part in layouts().items()
        if name in FIELDS
    }
    return {**written, DIFFUSION: write_pixel_vae(folder / DIFFUSION)}


def layouts() -> dict[str, Shapes]:
    """Every tensor of the parts by the name of their file, without the diffusion decoder's and the text
    encoder's."""
    whole = shapes("2.5")
    transformer = {key.removeprefix(PREFIX): each for key, each in whole.items() if key.startswith(PREFIX)}
    return {
        TRANSFORMER: transformer,
        TRANSFORMER.replace("distilled", "dev"): transformer,
        CONVOLUTIONS: {key.removeprefix(VAE): each for key, each in whole.items() if key.startswith(VAE)},
        "ltx-2.5-audio-vae-bf16.safetensors": {
            key: each for key, each in whole.items() if key.startswith(SOUND)
        },
        "ltx-2.5-latent-spatial-upscaler-x2-bf16-1.0.safetensors": wide_upsampler_shapes(),
        "ltx-2.5-latent-temporal-upscaler-x2-bf16-1.0.safetensors": upsampler_shapes("temporal"),
    }
