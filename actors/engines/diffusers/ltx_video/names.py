"""Tensor names: the original single-file layout <-> diffusers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from actors.engines.diffusers.configs import Config, UnsupportedCheckpoint
from actors.engines.diffusers.ltx_video.architecture import DOWN_TYPES, Block, blocks_of

Value = TypeVar("Value")
"""A tensor, or whatever else is kept by a tensor's name."""

TRANSFORMER_NAMES = (
    ("patchify_proj", "proj_in"),
    ("adaln_single", "time_embed"),
    ("q_norm", "norm_q"),
    ("k_norm", "norm_k"),
)
_VAE_NAMES = (
    ("res_blocks", "resnets"),
    ("norm3.norm", "norm3"),
    ("conv_shortcut.", "conv_shortcut.conv."),
    ("per_channel_statistics.mean-of-means", "latents_mean"),
    ("per_channel_statistics.std-of-means", "latents_std"),
    ("last_time_embedder", "time_embedder"),
    ("last_scale_shift_table", "scale_shift_table"),
)


_STATISTICS = "per_channel_statistics."
_UNUSED_STATISTICS = frozenset(
    _STATISTICS + name for name in ("channel", "mean-of-stds", "mean-of-stds_over_std-of-means")
)
"""What published VAEs record beside the mean and the deviation that latents are normalised by."""


def rename(state: Mapping[str, Value], names: tuple[tuple[str, str], ...]) -> dict[str, Value]:
    """`state` with every (old, new) pair of `names` replaced in its keys."""
    renamed = {}
    for key, tensor in state.items():
        name = key
        for old, new in names:
            name = name.replace(old, new)
        renamed[name] = tensor
    return renamed


def vae_state(original: Mapping[str, Value], config: Config) -> dict[str, Value]:
    """Keys of a VAE in the original layout -> keys of the diffusers VAE that `build_vae` makes."""
    moves = {
        f"encoder.down_blocks.{i}.": f"encoder.{to}."
        for i, to in enumerate(_encoder_places(blocks_of(config, "encoder")))
    }
    moves |= {
        f"decoder.up_blocks.{i}.": f"decoder.{to}."
        for i, to in enumerate(_decoder_places(blocks_of(config, "decoder")))
    }
    state = {}
    for key, tensor in original.items():
        if key in _UNUSED_STATISTICS:
            continue
        place = next((old for old in moves if key.startswith(old)), "")
        state[moves.get(place, "") + key[len(place) :]] = tensor
    return rename(state, _VAE_NAMES)


def original_vae_state(state: Mapping[str, Value], config: Config) -> dict[str, Value]:
    """The inverse of `vae_state`, for writing a checkpoint."""
    places = {
        f"encoder.{to}.": f"encoder.down_blocks.{i}."
        for i, to in enumerate(_encoder_places(blocks_of(config, "encoder")))
    }
    places |= {
        f"decoder.{to}.": f"decoder.up_blocks.{i}."
        for i, to in enumerate(_decoder_places(blocks_of(config, "decoder")))
    }
    longest_first = sorted(places, key=len, reverse=True)
    original = {}
    for key, tensor in state.items():
        place = next((new for new in longest_first if key.startswith(new)), "")
        original[places.get(place, "") + key[len(place) :]] = tensor
    return rename(original, tuple((new, old) for old, new in reversed(_VAE_NAMES)))


def original_transformer_state(state: Mapping[str, Value]) -> dict[str, Value]:
    """Diffusers keys of a transformer -> keys of the original layout, without prefix."""
    return rename(state, tuple((new, old) for old, new in TRANSFORMER_NAMES))


def _encoder_places(blocks: list[Block]) -> list[str]:
    """Where diffusers keeps each block of the original encoder, below `encoder.`."""
    places, stage = [], 0
    last_layers = max(i for i, (name, _) in enumerate(blocks) if name == "res_x")
    for i, (name, _) in enumerate(blocks):
        if i == last_layers:
            places.append("mid_block")
        elif name in DOWN_TYPES:
            places.append(f"down_blocks.{stage}.downsamplers.0")
            stage += _next_is_layers(blocks, i)
        elif name == "res_x_y":
            places.append(f"down_blocks.{stage}.conv_out")
            stage += 1
        elif name == "res_x":
            places.append(f"down_blocks.{stage}")
        else:
            raise UnsupportedCheckpoint(f"diffusers has no encoder block {name!r}; use the comfyui engine")
    return places


def _next_is_layers(blocks: list[Block], i: int) -> bool:
    return i + 1 < len(blocks) and blocks[i + 1][0] == "res_x"


def _decoder_places(blocks: list[Block]) -> list[str]:
    """Where diffusers keeps each block of the original decoder (running order), below `decoder.`."""
    places, stage = ["mid_block"], 0
    for name, _ in blocks[1:]:
        if name == "compress_all":
            places.append(f"up_blocks.{stage}.upsamplers.0")
        elif name == "res_x_y":
            places.append(f"up_blocks.{stage}.conv_in")
        elif name == "res_x":
            places.append(f"up_blocks.{stage}")
            stage += 1
        else:
            raise UnsupportedCheckpoint(f"diffusers has no decoder block {name!r}; use the comfyui engine")
    if blocks[0][0] != "res_x" or stage == 0:
        raise UnsupportedCheckpoint("the decoder must start with res_x blocks; use the comfyui engine")
    return places
