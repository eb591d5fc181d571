"""The sizes of the tiny model, and its modules with fresh weights."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import AutoencoderKLLTXVideo, LTXVideoTransformer3DModel
from diffusers.pipelines.ltx.modeling_latent_upsampler import LTXLatentUpsamplerModel

from actors.engines.diffusers.ltx_video.architecture import build_transformer, build_upsampler, build_vae
from actors.models.tiny_text import TinyTextEncoder
from tools.train_tiny.prompts import DROPPED, MAX_TOKENS, vocabulary

TEXT_DIM = 128

VAE_CONFIG: dict[str, Any] = {
    "_class_name": "CausalVideoAutoencoder",
    "dims": 3,
    "in_channels": 3,
    "out_channels": 3,
    "latent_channels": 128,
    "encoder_base_channels": 32,
    "decoder_base_channels": 32,
    "encoder_blocks": [
        ["res_x", {"num_layers": 1}],
        ["compress_space_res", {"multiplier": 2}],
        ["res_x", {"num_layers": 2}],
        ["compress_time_res", {"multiplier": 1}],
        ["res_x", {"num_layers": 2}],
        ["compress_all_res", {"multiplier": 2}],
        ["res_x", {"num_layers": 1}],
        ["compress_all_res", {"multiplier": 1}],
        ["res_x", {"num_layers": 1}],
    ],
    "decoder_blocks": [
        ["res_x", {"num_layers": 1, "inject_noise": False}],
        ["compress_all", {"residual": True, "multiplier": 2}],
        ["res_x", {"num_layers": 2, "inject_noise": False}],
        ["compress_all", {"residual": True, "multiplier": 1}],
        ["res_x", {"num_layers": 2, "inject_noise": False}],
        ["compress_all", {"residual": True, "multiplier": 2}],
        ["res_x", {"num_layers": 1, "inject_noise": False}],
    ],
    "scaling_factor": 1.0,
    "norm_layer": "pixel_norm",
    "patch_size": 4,
    "latent_log_var": "uniform",
    "use_quant_conv": False,
    "causal_decoder": False,
    "timestep_conditioning": False,
    "spatial_padding_mode": "zeros",
}

TRANSFORMER_CONFIG: dict[str, Any] = {
    "_class_name": "Transformer3DModel",
    "in_channels": 128,
    "out_channels": 128,
    "num_layers": 8,
    "num_attention_heads": 8,
    "attention_head_dim": 32,
    "cross_attention_dim": 256,
    "caption_channels": TEXT_DIM,
    "activation_fn": "gelu-approximate",
    "attention_bias": True,
    "norm_elementwise_affine": False,
    "norm_eps": 1e-6,
    "qk_norm": "rms_norm",
    "standardization_norm": "rms_norm",
    "adaptive_norm": "single_scale_shift",
    "positional_embedding_type": "rope",
    "positional_embedding_theta": 10000.0,
    "positional_embedding_max_pos": [20, 2048, 2048],
    "timestep_scale_multiplier": 1000,
    "causal_temporal_positioning": True,
}

UPSAMPLER_CONFIG: dict[str, Any] = {
    "_class_name": "LatentUpsampler",
    "in_channels": 128,
    "mid_channels": 128,
    "num_blocks_per_stage": 1,
    "dims": 2,
    "spatial_upsample": True,
    "temporal_upsample": False,
}


def text_config() -> dict[str, Any]:
    """The `text_encoder` metadata entry: sizes and the vocabulary."""
    return {
        "_class_name": "TinyTextEncoder",
        "dim": TEXT_DIM,
        "layers": 2,
        "heads": 4,
        "max_tokens": MAX_TOKENS,
        "words": list(vocabulary()),
        "dropped": sorted(DROPPED),
    }


def new_vae() -> AutoencoderKLLTXVideo:
    """A VAE with fresh weights whose log-variance channel is a constant: the latents are its means."""
    vae = build_vae(VAE_CONFIG)
    head = vae.encoder.conv_out.conv
    with torch.no_grad():
        head.weight[-1].zero_()
        head.bias[-1] = -4.6
    return vae


def new_transformer() -> LTXVideoTransformer3DModel:
    """A transformer that starts as the identity: gates and the output projection are zero."""
    model = build_transformer(TRANSFORMER_CONFIG)
    torch.nn.init.zeros_(model.proj_out.weight)
    torch.nn.init.zeros_(model.proj_out.bias)
    torch.nn.init.zeros_(model.time_embed.linear.weight)
    torch.nn.init.zeros_(model.time_embed.linear.bias)
    for block in model.transformer_blocks:
        torch.nn.init.zeros_(block.attn2.to_out[0].weight)
        torch.nn.init.zeros_(block.attn2.to_out[0].bias)
    return model


def new_upsampler() -> LTXLatentUpsamplerModel:
    """An upsampler with fresh weights."""
    return build_upsampler(UPSAMPLER_CONFIG)


def new_text_encoder() -> TinyTextEncoder:
    """A text encoder with fresh weights."""
    return TinyTextEncoder.from_config(text_config())
