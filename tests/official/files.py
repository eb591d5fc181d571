"""Files laid out like the published ones, at full width: whole headers over data that is never written.

`layouts.json` beside this module is made by `tools/official_layouts.py` from Lightricks' own modules.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

LAYOUTS: dict[str, Any] = json.loads(Path(__file__).with_name("layouts.json").read_text())
BYTES = {"F64": 8, "I64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1, "I8": 1, "U8": 1}
DISTILLED_LEVELS = [1.0, 0.9937, 0.9875, 0.9812, 0.975, 0.9094, 0.725, 0.4219]

Shapes = dict[str, tuple[int, ...]]
Entries = dict[str, tuple[str, tuple[int, ...]]]


class Release(NamedTuple):
    """A published checkpoint: its transformer and VAE in `layouts.json`, and whether it is distilled."""

    transformer: str
    vae: str
    version: str
    distilled: bool = False


RELEASES = {
    "ltx-video-2b-v0.9.safetensors": Release("2b", "0.9.0", "0.9.0"),
    "ltx-video-2b-v0.9.1.safetensors": Release("2b", "0.9.1", "0.9.1"),
    "ltx-video-2b-v0.9.5.safetensors": Release("2b-causal", "0.9.5", "0.9.5"),
    "ltxv-2b-0.9.6-dev-04-25.safetensors": Release("2b-causal", "0.9.5", "0.9.6"),
    "ltxv-2b-0.9.6-distilled-04-25.safetensors": Release("2b-causal", "0.9.5", "0.9.6", True),
    "ltxv-2b-0.9.8-distilled.safetensors": Release("2b-causal", "0.9.5", "0.9.8", True),
    "ltxv-13b-0.9.7-dev.safetensors": Release("13b", "0.9.5", "0.9.7"),
    "ltxv-13b-0.9.7-distilled.safetensors": Release("13b", "0.9.5", "0.9.7", True),
    "ltxv-13b-0.9.8-dev.safetensors": Release("13b", "0.9.5", "0.9.8"),
    "ltxv-13b-0.9.8-distilled.safetensors": Release("13b", "0.9.5", "0.9.8", True),
}


def transformer_shapes(name: str) -> Shapes:
    """Every tensor of a published transformer, without prefix."""
    layout = LAYOUTS["transformers"][name]
    layers = layout["config"]["num_layers"]
    shapes = {key: tuple(shape) for key, shape in layout["tensors"].items()}
    for layer in range(layers):
        shapes |= {f"transformer_blocks.{layer}.{key}": tuple(s) for key, s in layout["block"].items()}
    return shapes


def vae_shapes(version: str) -> Shapes:
    """Every tensor of a published VAE, without prefix."""
    return {key: tuple(shape) for key, shape in LAYOUTS["vaes"][version]["tensors"].items()}


def upsampler_shapes(name: str) -> Shapes:
    return {key: tuple(shape) for key, shape in LAYOUTS["upsamplers"][name]["tensors"].items()}


def single_file(release: Release, dtype: str = "BF16") -> Entries:
    """The tensors of a published checkpoint."""
    parts = {
        "model.diffusion_model.": transformer_shapes(release.transformer),
        "vae.": vae_shapes(release.vae),
    }
    return {prefix + k: (dtype, shape) for prefix, part in parts.items() for k, shape in part.items()}


def config_of(release: Release) -> dict[str, str]:
    """The metadata of a published checkpoint."""
    config = {
        "transformer": LAYOUTS["transformers"][release.transformer]["config"],
        "vae": LAYOUTS["vaes"][release.vae]["config"],
        "scheduler": {"_class_name": "RectifiedFlowScheduler", "num_train_timesteps": 1000},
    }
    if release.distilled:
        config["allowed_inference_steps"] = DISTILLED_LEVELS
    return {"config": json.dumps(config)}


def write_release(folder: Path, name: str, metadata: bool = True) -> Path:
    """A sparse file like the published one of this name."""
    release = RELEASES[name]
    return write_sparse(folder / name, single_file(release), config_of(release) if metadata else {})


def write_sparse(
    path: Path, entries: Mapping[str, tuple[str, tuple[int, ...]]], metadata: Mapping[str, str] | None = None
) -> Path:
    """A safetensors file with these number types and shapes, and holes for data: it reads as zeros and takes
    no room on the disk. Tensors of whole 64 bytes come first, and begin at multiples of them."""
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    offset = 0
    sizes = {name: BYTES[dtype] * math.prod(shape) for name, (dtype, shape) in entries.items()}
    for name in sorted(entries, key=lambda name: sizes[name] % 64 > 0):
        (dtype, shape), size = entries[name], sizes[name]
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    text += b" " * (-(8 + len(text)) % 64)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + offset)
    return path
