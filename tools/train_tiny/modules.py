"""The sizes of the tiny model, and its modules with fresh weights."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import AutoencoderKLLTX2Audio, AutoencoderKLLTXVideo, LTX2VideoTransformer3DModel
from diffusers.pipelines.ltx2.connectors import LTX2TextConnectors
from diffusers.pipelines.ltx2.latent_upsampler import LTX2LatentUpsamplerModel
from diffusers.pipelines.ltx2.vocoder import LTX2Vocoder

from actors.engines.diffusers.ltx_video.architecture import build_vae
from actors.models.tiny_text import TinyTextEncoder
from tools.train_tiny.procedural.prompts import DROPPED, MAX_TOKENS, vocabulary

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

HEADS, HEAD_DIM, AUDIO_HEAD_DIM, LAYERS = 8, 32, 12, 5
WIDTH, AUDIO_WIDTH = HEADS * HEAD_DIM, HEADS * AUDIO_HEAD_DIM
SOUND_CHANNELS, SOUND_BINS = 3, 16
SOUND = SOUND_CHANNELS * SOUND_BINS
"""The numbers of an audio token that mean something, the first of its 128. A flow carries the noise of every
number through the sound's `AUDIO_WIDTH`; the others are held at zero on both sides, whatever noise is there.
"""

TRANSFORMER_CONFIG: dict[str, Any] = {
    "_class_name": "AVTransformer3DModel",
    "in_channels": 128,
    "out_channels": 128,
    "num_layers": LAYERS,
    "num_attention_heads": HEADS,
    "attention_head_dim": HEAD_DIM,
    "cross_attention_dim": WIDTH,
    "caption_channels": TEXT_DIM,
    "audio_num_attention_heads": HEADS,
    "audio_attention_head_dim": AUDIO_HEAD_DIM,
    "audio_cross_attention_dim": AUDIO_WIDTH,
    "apply_gated_attention": True,
    "cross_attention_adaln": True,
    "caption_proj_before_connector": True,
    "caption_projection_first_linear": False,
    "caption_proj_input_norm": False,
    "use_keyframes_abs_pos_embedding": True,
    "rope_type": "split",
    "frequencies_precision": "float64",
    "use_middle_indices_grid": True,
    "causal_temporal_positioning": True,
    "timestep_scale_multiplier": 1000,
    "av_ca_timestep_scale_multiplier": 1000.0,
    "connector_num_attention_heads": HEADS,
    "connector_attention_head_dim": HEAD_DIM,
    "audio_connector_num_attention_heads": HEADS,
    "audio_connector_attention_head_dim": AUDIO_HEAD_DIM,
    "connector_num_layers": 0,
    "connector_num_learnable_registers": None,
    "connector_apply_gated_attention": True,
}
"""The names are those of published LTX-2.3 files."""

AUDIO_VAE_CONFIG: dict[str, Any] = {
    "model": {
        "params": {
            "ddconfig": {
                "double_z": True,
                "mel_bins": 64,
                "z_channels": 8,
                "resolution": 256,
                "in_channels": 2,
                "out_ch": 2,
                "ch": 128,
                "ch_mult": [1, 1, 1],
                "num_res_blocks": 0,
                "attn_resolutions": [],
                "dropout": 0.0,
                "mid_block_add_attention": False,
                "norm_type": "pixel",
                "causality_axis": "height",
            },
            "sampling_rate": 16000,
        }
    },
    "preprocessing": {"stft": {"filter_length": 1024, "hop_length": 160}},
}

VOCODER_CONFIG: dict[str, Any] = {
    "resblock_kernel_sizes": [3],
    "upsample_rates": [6, 5, 2, 2, 2],
    "upsample_kernel_sizes": [16, 15, 8, 4, 4],
    "resblock_dilation_sizes": [[1, 3, 5]],
    "upsample_initial_channel": 192,
    "stereo": True,
    "resblock": "1",
}

UPSAMPLER_CONFIG: dict[str, Any] = {
    "_class_name": "LatentUpsampler",
    "in_channels": 128,
    "mid_channels": 64,
    "num_blocks_per_stage": 1,
    "dims": 2,
    "spatial_upsample": True,
    "temporal_upsample": False,
}

TEMPORAL_UPSAMPLER_CONFIG: dict[str, Any] = {
    "_class_name": "LatentUpsampler",
    "in_channels": 128,
    "mid_channels": 32,
    "num_blocks_per_stage": 1,
    "dims": 3,
    "spatial_upsample": False,
    "temporal_upsample": True,
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


def new_transformer() -> LTX2VideoTransformer3DModel:
    """A transformer that starts as the identity: gates and the output projections are zero."""
    model = LTX2VideoTransformer3DModel(
        in_channels=128,
        out_channels=128,
        num_layers=LAYERS,
        num_attention_heads=HEADS,
        attention_head_dim=HEAD_DIM,
        cross_attention_dim=WIDTH,
        caption_channels=TEXT_DIM,
        audio_num_attention_heads=HEADS,
        audio_attention_head_dim=AUDIO_HEAD_DIM,
        audio_cross_attention_dim=AUDIO_WIDTH,
        gated_attn=True,
        cross_attn_mod=True,
        audio_gated_attn=True,
        audio_cross_attn_mod=True,
        use_prompt_embeddings=False,
        perturbed_attn=True,
        rope_type="split",
        use_keyframes_abs_pos_embedding=True,
    )
    zeroed: list[torch.nn.Linear] = [model.proj_out, model.audio_proj_out]
    zeroed += [
        part.linear
        for name, part in model.named_children()
        if name.endswith(("time_embed", "prompt_adaln", "_scale_shift", "_gate"))
    ]
    for linear in zeroed:
        torch.nn.init.zeros_(linear.weight)
        torch.nn.init.zeros_(linear.bias)
    with torch.no_grad():
        model.audio_proj_in.weight[:, SOUND:] = 0
    _calm_tables(model)
    return model


def _calm_tables(model: LTX2VideoTransformer3DModel) -> None:
    """Small modulation tables, so that no block begins with a random shift of what it reads."""
    for name, parameter in model.named_parameters():
        if name.endswith("scale_shift_table"):
            torch.nn.init.normal_(parameter, std=0.05)
        if name.endswith("a2v_cross_attn_scale_shift_table"):
            torch.nn.init.constant_(parameter[4], 0.03)


def new_connectors() -> LTX2TextConnectors:
    """What turns the words into the contexts of both streams: a projection each, no layers, no registers."""
    return LTX2TextConnectors(
        caption_channels=TEXT_DIM,
        text_proj_in_factor=1,
        video_connector_num_attention_heads=HEADS,
        video_connector_attention_head_dim=HEAD_DIM,
        video_connector_num_layers=0,
        video_connector_num_learnable_registers=None,
        audio_connector_num_attention_heads=HEADS,
        audio_connector_attention_head_dim=AUDIO_HEAD_DIM,
        audio_connector_num_layers=0,
        audio_connector_num_learnable_registers=None,
        rope_type="split",
        per_modality_projections=True,
        video_hidden_dim=WIDTH,
        audio_hidden_dim=AUDIO_WIDTH,
        proj_bias=True,
    )


def new_audio_vae() -> AutoencoderKLLTX2Audio:
    """An audio VAE with fresh weights, which writes and reads `SOUND` numbers of a token."""
    params = AUDIO_VAE_CONFIG["model"]["params"]["ddconfig"]
    vae = AutoencoderKLLTX2Audio(
        base_channels=params["ch"],
        ch_mult=tuple(params["ch_mult"]),
        num_res_blocks=params["num_res_blocks"],
        latent_channels=params["z_channels"],
        mel_bins=params["mel_bins"],
    )
    written, read = vae.encoder.conv_out.conv, vae.decoder.conv_in.conv
    with torch.no_grad():
        written.weight[SOUND_CHANNELS:] = 0
        written.bias[SOUND_CHANNELS:] = 0
        read.weight[:, SOUND_CHANNELS:] = 0
    return vae


def new_vocoder() -> LTX2Vocoder:
    """A vocoder with fresh weights."""
    return LTX2Vocoder(
        in_channels=128,
        hidden_channels=VOCODER_CONFIG["upsample_initial_channel"],
        upsample_kernel_sizes=VOCODER_CONFIG["upsample_kernel_sizes"],
        upsample_factors=VOCODER_CONFIG["upsample_rates"],
        resnet_kernel_sizes=VOCODER_CONFIG["resblock_kernel_sizes"],
        resnet_dilations=VOCODER_CONFIG["resblock_dilation_sizes"],
    )


def new_upsampler() -> LTX2LatentUpsamplerModel:
    """A spatial upsampler with fresh weights."""
    return _upsampler(UPSAMPLER_CONFIG)


def new_temporal_upsampler() -> LTX2LatentUpsamplerModel:
    """A temporal upsampler with fresh weights."""
    return _upsampler(TEMPORAL_UPSAMPLER_CONFIG)


def _upsampler(config: dict[str, Any]) -> LTX2LatentUpsamplerModel:
    names = (
        "in_channels",
        "mid_channels",
        "num_blocks_per_stage",
        "dims",
        "spatial_upsample",
        "temporal_upsample",
    )
    return LTX2LatentUpsamplerModel(**{name: config[name] for name in names}, use_rational_resampler=False)


def new_text_encoder() -> TinyTextEncoder:
    """A text encoder with fresh weights."""
    return TinyTextEncoder.from_config(text_config())
