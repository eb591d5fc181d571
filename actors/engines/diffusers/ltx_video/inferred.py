"""Configs of files that carry none, from the names and shapes of their tensors."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from actors.engines.diffusers.configs import UnsupportedCheckpoint
from jobs.weights.describe import vae_version
from jobs.weights.header import Tensor

Shapes = Mapping[str, Tensor]

HEADS = 32
"""Of every published transformer: heads of 64 in the 2B model, of 128 in the 13B one."""
FACTORS = {4: "compress_space_res", 2: "compress_time_res", 8: "compress_all_res"}
"""Down-sampling blocks of the encoder by how many values they move into channels."""


def transformer_config_of(shapes: Shapes) -> dict[str, Any]:
    """The config of a published transformer in diffusers' names."""
    inner, channels = shapes["proj_in.weight"].shape
    return {
        "in_channels": channels,
        "num_layers": _count(shapes, "transformer_blocks."),
        "num_attention_heads": HEADS,
        "attention_head_dim": inner // HEADS,
        "cross_attention_dim": shapes["transformer_blocks.0.attn2.to_k.weight"].shape[1],
        "caption_channels": shapes["caption_projection.linear_1.weight"].shape[1],
    }


def vae_config_of(original: Shapes) -> dict[str, Any]:
    """The config of a VAE in the original names. What leaves no trace in the shapes is as published: every
    decoder but the first (0.9.0) adds its input to what it up-samples."""
    timed = any(name.startswith("decoder.last_time_embedder") for name in original)
    residual = vae_version(original) != "0.9.0"
    patch = round((original["encoder.conv_in.conv.weight"].shape[1] / 3) ** 0.5)
    return {
        "encoder_blocks": list(_encoder_blocks(original)),
        "decoder_blocks": list(_decoder_blocks(original, residual))[::-1],
        "encoder_base_channels": original["encoder.conv_in.conv.weight"].shape[0],
        "decoder_base_channels": _decoder_base(original),
        "latent_channels": original["decoder.conv_in.conv.weight"].shape[1],
        "patch_size": patch,
        "timestep_conditioning": timed,
    }


def upsampler_config_of(shapes: Shapes) -> dict[str, Any]:
    """The config of a latent upsampler."""
    first, shuffled = shapes["initial_conv.weight"].shape, shapes["upsampler.0.weight"].shape
    factor = shuffled[0] // first[0]
    return {
        "in_channels": first[1],
        "mid_channels": first[0],
        "num_blocks_per_stage": _count(shapes, "res_blocks."),
        "dims": len(first) - 2,
        "spatial_upsample": factor in (4, 8),
        "temporal_upsample": factor in (2, 8),
    }


def _count(names: Iterable[str], prefix: str) -> int:
    """How many numbered entries there are below `prefix`."""
    numbers = [name[len(prefix) :].split(".")[0] for name in names if name.startswith(prefix)]
    return 1 + max(map(int, numbers), default=-1)


def _encoder_blocks(shapes: Shapes) -> Iterator[list[Any]]:
    channels = shapes["encoder.conv_in.conv.weight"].shape[0]
    for place in _places(shapes, "encoder.down_blocks."):
        if layers := _count(shapes, f"{place}res_blocks."):
            yield ["res_x", {"num_layers": layers}]
        elif f"{place}conv1.conv.weight" in shapes:
            wide = shapes[f"{place}conv1.conv.weight"].shape[0]
            yield ["res_x_y", {"multiplier": wide // channels}]
            channels = wide
        elif f"{place}conv.conv.weight" in shapes:
            wide = _next_channels(shapes, place)
            name = FACTORS.get(wide // shapes[f"{place}conv.conv.weight"].shape[0])
            if name is None:
                raise _unknown("encoder", place)
            yield [name, {"multiplier": wide // channels}]
            channels = wide
        elif f"{place}conv.weight" in shapes:
            yield ["compress_all", {}]
        else:
            raise _unknown("encoder", place)


def _decoder_blocks(shapes: Shapes, residual: bool) -> Iterator[list[Any]]:
    """In running order."""
    channels = shapes["decoder.conv_in.conv.weight"].shape[0]
    for place in _places(shapes, "decoder.up_blocks."):
        if layers := _count(shapes, f"{place}res_blocks."):
            noisy = f"{place}res_blocks.0.per_channel_scale1" in shapes
            yield ["res_x", {"num_layers": layers, "inject_noise": noisy}]
        elif f"{place}conv1.conv.weight" in shapes:
            narrow = shapes[f"{place}conv1.conv.weight"].shape[0]
            yield ["res_x_y", {"multiplier": channels // narrow}]
            channels = narrow
        elif f"{place}conv.conv.weight" in shapes:
            narrow = shapes[f"{place}conv.conv.weight"].shape[0] // 8
            yield ["compress_all", {"residual": residual, "multiplier": channels // narrow}]
            channels = narrow
        else:
            raise _unknown("decoder", place)


def _decoder_base(shapes: Shapes) -> int:
    """The width in front of the last layer."""
    return shapes["decoder.conv_out.conv.weight"].shape[1]


def _places(shapes: Shapes, prefix: str) -> list[str]:
    return [f"{prefix}{index}." for index in range(_count(shapes, prefix))]


def _next_channels(shapes: Shapes, place: str) -> int:
    """The width behind a down-sampling block, which the layers after it take in."""
    prefix, index = re.fullmatch(r"(.*\.)(\d+)\.", place).groups()  # type: ignore[union-attr]
    following = f"{prefix}{int(index) + 1}.res_blocks.0.conv1.conv.weight"
    last = "encoder.conv_out.conv.weight"
    return shapes[following if following in shapes else last].shape[1]


def _unknown(side: str, place: str) -> UnsupportedCheckpoint:
    return UnsupportedCheckpoint(
        f"the {side} of its VAE has a block of an unknown kind ({place.rstrip('.')}); "
        "use a file whose metadata has a `config`, or the comfyui engine"
    )
