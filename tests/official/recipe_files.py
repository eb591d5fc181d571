"""The layout of every file that a recipe fetches: names and shapes of all its tensors, at full width."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from tests.official.files import RELEASES, Entries, Shapes, single_file, upsampler_shapes, write_sparse
from tests.official.ltx2_files import PREFIX, shapes
from tests.official.ltx2_parts import layouts
from tests.official.upsamplers import wide_upsampler_shapes

PROJECTION = "text_embedding_projection."
LORAS: Mapping[str, tuple[str, int]] = {
    "ltx-2-19b-distilled-lora-384.safetensors": ("2.0", 384),
    "ltx-2.3-22b-distilled-lora-384-1.1.safetensors": ("2.3", 384),
    "ltx-2.5-22b-distilled-lora-450-bf16.safetensors": ("2.5", 450),
    "ltx-2.5-22b-ic-lora-pixel-spatial-upscaler-x2-1.0.safetensors": ("2.5", 32),
}
"""Version of the model and rank."""
DETAILED = re.compile(r"\.\d+\.(?:attn[12]\.to_(?:q|k|v|out\.0)|ff\.net\.(?:0\.proj|2))\.")
BYTES: Mapping[str, int] = {
    "ltx-2.5-22b-dev-transformer-bf16.safetensors": 42_018_190_584,
    "ltx-2.5-22b-distilled-transformer-bf16.safetensors": 42_018_190_584,
    "ltx-2.5-video-vae-conv-bf16.safetensors": 1_452_269_922,
    "ltx-2.5-audio-vae-bf16.safetensors": 364_866_540,
    "gemma4-12b-with-proj-ltx-2.5-bf16.safetensors": 26_263_858_182,
    "ltx-2.5-latent-spatial-upscaler-x2-bf16-1.0.safetensors": 995_778_752,
    "ltx-2.5-latent-temporal-upscaler-x2-bf16-1.0.safetensors": 261_944_000,
    "ltx-2.5-22b-distilled-lora-450-bf16.safetensors": 8_899_889_568,
    "ltx-2.5-22b-ic-lora-pixel-spatial-upscaler-x2-1.0.safetensors": 327_322_640,
    "ltx-2.3-22b-distilled-lora-384-1.1.safetensors": 7_605_507_256,
}
"""Sizes on the hub, header and tokenizer included, as projects that fetch these files state them."""


def entries(name: str) -> Entries:
    """Of a file, or of the text encoder's folder in a repository. Raises KeyError for one that is unknown."""
    if name in RELEASES:
        return single_file(RELEASES[name])
    if name == "PixArt-XL-2-1024-MS":
        return {key: ("F32", shape) for key, shape in _encoder("2b").items()}
    return {key: ("BF16", shape) for key, shape in _shapes(name).items()}


def write_published(folder: Path, name: str) -> Path:
    """A sparse file of this name, or the folder with the text encoder of a repository."""
    path = folder / name
    if "." not in name or name.endswith("-Diffusers"):
        (path / "text_encoder").mkdir(parents=True)
        write_sparse(path / "text_encoder" / "model.safetensors", entries(name))
        return path
    return write_sparse(path, entries(name))


def _shapes(name: str) -> Shapes:
    if name in LORAS:
        return _lora(*LORAS[name], detail="ic-lora" in name)
    if name in (parts := layouts()):
        return parts[name]
    if "upscaler" in name:
        return upsampler_shapes("spatial") if name.startswith("ltxv") else _ltx2_upscaler(name)
    version = name.removeprefix("ltx-").partition("-")[0]
    if version in ("2", "2.3"):
        return shapes("2.0" if version == "2" else version)
    return _text(name)


def _ltx2_upscaler(name: str) -> Shapes:
    return wide_upsampler_shapes(rational=name.startswith("ltx-2-"))


def _lora(version: str, rank: int, detail: bool) -> Shapes:
    """Pairs of factors for all linear layers of the transformer, and of 2.0's projection, none of a larger
    rank than its layer; of the one for `detail` for attention and feed-forward layers of the video alone."""
    found: Shapes = {}
    for key, shape in shapes(version).items():
        if not key.endswith(".weight") or len(shape) != 2 or not _is_adapted(key, version, detail):
            continue
        (out, wide), name = shape, key.removesuffix("weight")
        own = min(rank, out, wide)
        found |= {f"{name}lora_A.weight": (own, wide), f"{name}lora_B.weight": (out, own)}
    return found


def _is_adapted(key: str, version: str, detail: bool) -> bool:
    if key.startswith(PROJECTION):
        return version == "2.0"
    inside = key.startswith(PREFIX) and "_connector." not in key
    return inside and (not detail or DETAILED.search(key) is not None)


def _text(name: str) -> Shapes:
    if name == "gemma4-12b-with-proj-ltx-2.5-bf16.safetensors":
        projection = {key: each for key, each in shapes("2.5").items() if key.startswith(PROJECTION)}
        return _encoder("ltx2.5") | projection
    of = {"gemma_3_12B_it.safetensors": "ltx2.3", "LTX-2": "ltx2.3", "LTX-2.5-Diffusers": "ltx2.5"}
    return _encoder(of[name])


@cache
def _encoder(model: str) -> Shapes:
    from benchmarks.gpu.text.encoders import ENCODERS

    return ENCODERS[model].shapes(real=True)
