"""LTX-2.5's second video VAE as it is published: the encoder of the other one, and a decoder that denoises
pixels. Names and configuration are facts of `ltx-2.5-video-vae-bf16.safetensors`, read off ComfyUI's core."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.official.files import Shapes, write_sparse
from tests.official.ltx2_files import _drawn, shapes

Config = dict[str, Any]
DECODER: Config = {
    "in_channels": 128,
    "out_channels": 3,
    "patch_size": 4,
    "head_dim": 64,
    "stage_channels": [2048, 1024, 512, 512, 256],
    "stage_depths": [4, 6, 4, 2, 8],
    "stage_kernels": [[3, 7, 7], [3, 7, 7], [3, 5, 5], [3, 5, 5], [11, 11, 11]],
    "upsamples": [[[1, 2, 2], 2], [[2, 1, 1], 2], [[2, 2, 2], 1], [[2, 2, 2], 2]],
    "stage5_kernel": [11, 11, 11],
    "t_emb_dim": 384,
    "timestep_scale_multiplier": 1000.0,
    "default_num_inference_steps": 1,
}
NARROW: Config = {
    **DECODER,
    "head_dim": 16,
    "stage_channels": [128, 64, 32, 32, 16],
    "stage_depths": [1, 1, 1, 1, 2],
    "t_emb_dim": 32,
}
VAE = "vae."


def vae_config(decoder: Config) -> Config:
    encoder = {"patch_size": 4, "latent_log_var": "constant", "spatial_padding_mode": "zeros"}
    return {
        "_class_name": "CausalDiffusionVAE",
        "model_output_type": "x0",
        "encoder": encoder,
        "decoder": decoder,
    }


def pixel_shapes(decoder: Config, width: str) -> Shapes:
    """Every tensor of the file, the encoder's of that width (`full`, `narrow`)."""
    kept = ("encoder.", "per_channel_statistics.")
    found = {
        key.removeprefix(VAE): shape
        for key, shape in shapes("2.5", width).items()
        if key.startswith(tuple(VAE + start for start in kept))
    }
    widths, depths = decoder["stage_channels"], decoder["stage_depths"]
    found |= _linear("conv_in", decoder["in_channels"], widths[0])
    for stage, (stride, divisor) in enumerate(decoder["upsamples"]):
        for block in range(depths[stage]):
            found |= _block(f"det_stages.{stage}.{block}.", widths[stage], decoder["head_dim"])
        grown = stride[0] * stride[1] * stride[2] * widths[stage] // divisor
        found |= _linear(f"upsamples.{stage}.proj", widths[stage], grown)
    last, steps = widths[-1], decoder["t_emb_dim"]
    pixels = 3 * decoder["patch_size"] ** 2
    for block in range(depths[-1]):
        name = f"diff_blocks.{block}."
        found |= _block(name, last, decoder["head_dim"]) | _linear(f"{name}context_proj", last, last)
        found[f"decoder.{name}scale_shift_table"] = (7, last)
    return {
        **found,
        **_linear("t_embedder.mlp.0", 256, steps),
        **_linear("t_embedder.mlp.2", steps, steps),
        **_linear("conv_in_x_t", pixels, last),
        **_linear("shared_adaln.proj", steps, 7 * last),
        "decoder.norm_out.weight": (last,),
        **_linear("conv_out", last, pixels),
        "decoder.type_emb": (128,),
    }


def _linear(name: str, wide: int, out: int) -> Shapes:
    return {f"decoder.{name}.weight": (out, wide), f"decoder.{name}.bias": (out,)}


def _block(name: str, wide: int, head: int) -> Shapes:
    return {
        f"decoder.{name}norm1.weight": (wide,),
        **_linear(f"{name}attn.qkv", wide, 3 * wide),
        **_linear(f"{name}attn.proj", wide, wide),
        f"decoder.{name}attn.q_norm.weight": (head,),
        f"decoder.{name}attn.k_norm.weight": (head,),
        f"decoder.{name}norm2.weight": (wide,),
        f"decoder.{name}mlp.w_up.weight": (4 * wide, wide),
        f"decoder.{name}mlp.w_gate.weight": (4 * wide, wide),
        f"decoder.{name}mlp.w_down.weight": (wide, 4 * wide),
    }


def write_pixel_vae(path: Path, told: bool = True) -> Path:
    """A sparse file at full width; `told` with its metadata."""
    entries = {key: ("BF16", shape) for key, shape in pixel_shapes(DECODER, "full").items()}
    return write_sparse(path, entries, _metadata(DECODER) if told else {})


def write_narrow_pixel_vae(path: Path, decoder: Config = NARROW, seed: int = 7) -> Path:
    """A narrow file with random weights, float32."""
    import torch
    from safetensors.torch import save_file

    generator = torch.Generator().manual_seed(seed)
    tensors = {key: _drawn(key, shape, generator) for key, shape in pixel_shapes(decoder, "narrow").items()}
    save_file(tensors, path, metadata=_metadata(decoder))
    return path


def _metadata(decoder: Config) -> dict[str, str]:
    return {"config": json.dumps({"vae": vae_config(decoder)})}
