"""LTX-2 files laid out like the published ones; `ltx2_layouts.json` is made by `tools/ltx2_layouts.py`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.official.files import Shapes, write_sparse
from tests.official.ltx2_configs import config_of

LAYOUTS: dict[str, Any] = json.loads(Path(__file__).with_name("ltx2_layouts.json").read_text())
PREFIX = "model.diffusion_model."
VERSIONS = ("2.0", "2.3", "2.5")


def shapes(version: str, width: str = "full") -> Shapes:
    """Every tensor of a single file. 2.5 is 2.3 without biases in the video's feed-forward layers, and with
    the marker of keyframes (diffusers' `scripts/convert_ltx2_to_diffusers.py`)."""
    layout = LAYOUTS["2.3" if version == "2.5" else version][width]
    found = {key: tuple(shape) for key, shape in layout["tensors"].items()}
    for layer in range(layout["layers"]):
        start = f"{PREFIX}transformer_blocks.{layer}."
        found |= {start + key: tuple(shape) for key, shape in layout["block"].items()}
    if version == "2.5":
        blocks = f"{PREFIX}transformer_blocks."
        biases = [key for key in found if key.startswith(blocks) and ".ff.net." in key and "bias" in key]
        for key in biases:
            del found[key]
        inner = found[f"{PREFIX}patchify_proj.weight"][0]
        found[f"{PREFIX}keyframes_abs_pos_embedding"] = (1, inner)
    return found


def metadata(version: str, width: str = "full") -> dict[str, str]:
    """As it stands in a single file."""
    config = config_of("2.3" if version == "2.5" else version, width)
    if version == "2.5":
        config["transformer"] |= {"ff_bias": False, "use_keyframes_abs_pos_embedding": True}
    return {"config": json.dumps(config), "model_version": f"{version}.0"}


def write_single_file(path: Path, version: str, told: bool = True, dtype: str = "BF16") -> Path:
    """A sparse file at full width; `told` with its metadata."""
    entries = {key: (dtype, shape) for key, shape in shapes(version).items()}
    return write_sparse(path, entries, metadata(version) if told else {})


def write_narrow(path: Path, version: str, told: bool = True) -> Path:
    """A narrow single file with random weights, float32."""
    import torch
    from safetensors.torch import save_file

    generator = torch.Generator().manual_seed(7)
    tensors = {key: _drawn(key, shape, generator) for key, shape in shapes(version, "narrow").items()}
    save_file(tensors, path, metadata=metadata(version, "narrow") if told else None)
    return path


def _drawn(key: str, shape: tuple[int, ...], generator: Any) -> Any:
    """Random weights that keep the size of activations."""
    import torch

    noise = torch.randn(shape, generator=generator)
    if "std-of-means" in key:
        return 0.7 + 0.1 * noise.abs()
    if key.endswith(".filter"):
        return torch.full(shape, 1 / shape[-1])
    if len(shape) > 1:
        return noise * noise[0].numel() ** -0.5
    return (1.0 if "norm" in key and key.endswith("weight") else 0.0) + 0.05 * noise
