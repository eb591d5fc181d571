"""Writes down which tensors the published LTX-Video files hold: names and shapes at full width, from
Lightricks' own modules on the meta device. Run once; the result is committed and read by the tests.

    pip install ltx-video==0.1.2 --no-deps && pip install einops timm
    python -m tools.official_layouts

The configs of 0.9.0 are those in `ltx_video/utils/diffusers_config_mapping.py`; those of the later VAEs are
the ones that ComfyUI's core assumes for files without a config
(`comfy/ldm/lightricks/vae/causal_video_autoencoder.py`).
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

TARGET = Path(__file__).parents[1] / "tests" / "official" / "layouts.json"
STATISTICS = ("channel", "mean-of-means", "mean-of-stds", "mean-of-stds_over_std-of-means", "std-of-means")
"""What published VAEs keep below `per_channel_statistics.`, 128 values each."""
BLOCK = re.compile(r"transformer_blocks\.(\d+)\.")


def main() -> None:
    layouts = {
        "transformers": {name: _transformer(config) for name, config in transformer_configs().items()},
        "vaes": {version: _vae(config) for version, config in vae_configs().items()},
        "upsamplers": {name: _upsampler(config) for name, config in upsampler_configs().items()},
    }
    TARGET.write_text(json.dumps(layouts, indent=None, separators=(",", ":")) + "\n")
    print(f"{TARGET}: {TARGET.stat().st_size} bytes")


def transformer_configs() -> dict[str, dict[str, Any]]:
    """By name; those of 13 billion parameters and those from 0.9.5 on count the first latent as one frame."""
    from ltx_video.utils.diffusers_config_mapping import OURS_TRANSFORMER_CONFIG

    large = {"attention_head_dim": 128, "cross_attention_dim": 4096, "num_layers": 48}
    causal = {"causal_temporal_positioning": True}
    first = dict(OURS_TRANSFORMER_CONFIG)
    return {"2b": first, "2b-causal": {**first, **causal}, "13b": {**first, **large, **causal}}


def vae_configs() -> dict[str, dict[str, Any]]:
    """By the first version that has them."""
    from ltx_video.utils.diffusers_config_mapping import OURS_VAE_CONFIG

    first = {name: value for name, value in OURS_VAE_CONFIG.items() if name != "blocks"}
    conv = [_layers(4), *_stage(3), *_stage(3), ["compress_all", {}], _layers(3), _layers(4)]
    noisy = [
        _layers(5, inject_noise=True),
        *(block for layers in (6, 7) for block in (_up(), _layers(layers, inject_noise=True))),
        _up(),
        _layers(8, inject_noise=False),
    ]
    residual = [
        _layers(4),
        ["compress_space_res", {"multiplier": 2}],
        _layers(6),
        ["compress_time_res", {"multiplier": 2}],
        _layers(6),
        *([["compress_all_res", {"multiplier": 2}], _layers(2)] * 2),
    ]
    plain = [_layers(5, inject_noise=False), *([_up(), _layers(5, inject_noise=False)] * 3)]
    timed = {"timestep_conditioning": True}
    return {
        "0.9.0": dict(OURS_VAE_CONFIG),
        "0.9.1": {**first, "encoder_blocks": conv, "decoder_blocks": noisy, **timed},
        "0.9.5": {**first, "encoder_blocks": residual, "decoder_blocks": plain, **timed},
    }


def upsampler_configs() -> dict[str, dict[str, Any]]:
    """`LatentUpsampler` as published with 0.9.7 and 0.9.8."""
    common = {"_class_name": "LatentUpsampler", "in_channels": 128, "mid_channels": 512, "dims": 3}
    common |= {"num_blocks_per_stage": 4}
    return {
        "spatial": {**common, "spatial_upsample": True, "temporal_upsample": False},
        "temporal": {**common, "spatial_upsample": False, "temporal_upsample": True},
    }


def _layers(count: int, **more: Any) -> list[Any]:
    return ["res_x", {"num_layers": count, **more}]


def _stage(layers: int) -> list[list[Any]]:
    return [["compress_all", {}], ["res_x_y", 1], _layers(layers)]


def _up() -> list[Any]:
    return ["compress_all", {"residual": True, "multiplier": 2}]


def _transformer(config: Mapping[str, Any]) -> dict[str, Any]:
    from ltx_video.models.transformers.transformer3d import Transformer3DModel

    shapes = _shapes(lambda: Transformer3DModel.from_config(dict(config)))
    outside = {name: shape for name, shape in shapes.items() if not BLOCK.match(name)}
    block = {name: shape for name, shape in shapes.items() if name.startswith("transformer_blocks.0.")}
    blocks = {BLOCK.sub("", name): shape for name, shape in block.items()}
    assert len(outside) + config["num_layers"] * len(blocks) == len(shapes)
    return {"config": config, "tensors": outside, "block": blocks}


def _vae(config: Mapping[str, Any]) -> dict[str, Any]:
    from ltx_video.models.autoencoders.causal_video_autoencoder import CausalVideoAutoencoder

    shapes = _shapes(lambda: CausalVideoAutoencoder.from_config(copy.deepcopy(dict(config))))
    statistics = {f"per_channel_statistics.{name}": [128] for name in STATISTICS}
    own = {name: shape for name, shape in shapes.items() if not name.startswith("per_channel_statistics.")}
    return {"config": config, "tensors": {**own, **statistics}}


def _upsampler(config: Mapping[str, Any]) -> dict[str, Any]:
    from ltx_video.models.autoencoders.latent_upsampler import LatentUpsampler

    return {"config": config, "tensors": _shapes(lambda: LatentUpsampler.from_config(dict(config)))}


def _shapes(build: Any) -> dict[str, list[int]]:
    with torch.device("meta"):
        module = build()
    return {name: list(tensor.shape) for name, tensor in module.state_dict().items()}


if __name__ == "__main__":
    main()
