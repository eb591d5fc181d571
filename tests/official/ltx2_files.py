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
WORDS = ["<pad>", "<start>", "a", "red", "blue", "ball", "cube", "bounces", "keeps", "bouncing"]
_RES = {
    f"{stage}.0.{layer}.{kind}": (32, 32, 3, 3)[: 4 if kind == "weight" and "conv" in layer else 1]
    for stage in ("res_blocks", "post_upsample_res_blocks")
    for layer in ("conv1", "norm1", "conv2", "norm2")
    for kind in ("weight", "bias")
}
UPSAMPLER: Shapes = {
    "initial_conv.weight": (32, 128, 3, 3),
    "initial_conv.bias": (32,),
    "initial_norm.weight": (32,),
    "initial_norm.bias": (32,),
    **_RES,
    "upsampler.0.weight": (128, 32, 3, 3),
    "upsampler.0.bias": (128,),
    "final_conv.weight": (128, 32, 3, 3),
    "final_conv.bias": (128,),
}
"""A spatial upsampler of twice the size over single frames, 32 wide, one block a stage."""
TEMPORAL_UPSAMPLER: Shapes = {
    **{key: (*shape, 3) if len(shape) == 4 else shape for key, shape in UPSAMPLER.items()},
    "upsampler.0.weight": (64, 32, 3, 3, 3),
    "upsampler.0.bias": (64,),
}
"""One in time, over several frames, as wide."""


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


def write_small(path: Path, version: str = "2.5") -> Path:
    """As `write_narrow`, with a text encoder over a few words, upsamplers and no connectors, as a bundled
    model has: all that a film needs. Only 2.5 upsamples in time, too."""
    import torch
    from safetensors.torch import save_file

    from actors.models.tiny_text import TinyTextEncoder

    words = {"dim": 64, "layers": 1, "heads": 4, "max_tokens": 16, "words": WORDS, "dropped": []}
    generator = torch.Generator().manual_seed(7)
    found = {
        key: shape for key, shape in shapes(version, "narrow").items() if "embeddings_connector" not in key
    }
    for side, width in (("video", 128), ("audio", 64)):
        found[f"text_embedding_projection.{side}_aggregate_embed.weight"] = (width, 64)
    encoder = TinyTextEncoder.from_config(words).state_dict()
    found |= {f"text_encoder.{name}": tuple(tensor.shape) for name, tensor in encoder.items()}
    found |= {f"latent_upsampler.{name}": shape for name, shape in UPSAMPLER.items()}
    if version == "2.5":
        found |= {f"temporal_upsampler.{name}": shape for name, shape in TEMPORAL_UPSAMPLER.items()}
    tensors = {key: _drawn(key, shape, generator) for key, shape in found.items()}
    config = json.loads(metadata(version, "narrow")["config"])
    config |= {"text_encoder": words}
    save_file(tensors, path, metadata={"config": json.dumps(config), "model_version": f"{version}.0"})
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
