"""Configurations of the published LTX-2 files, as they stand in their metadata, and narrow ones like them.

Values are facts of the checkpoints: `Lightricks/LTX-2` and `Lightricks/LTX-2.3`, read off diffusers'
`scripts/convert_ltx2_to_diffusers.py` and ltx-core's configurators.
"""

from __future__ import annotations

from typing import Any

Config = dict[str, Any]

TRANSFORMER: Config = {
    "_class_name": "AVTransformer3DModel",
    "dropout": 0.0,
    "attention_bias": True,
    "num_vector_embeds": None,
    "activation_fn": "gelu-approximate",
    "num_embeds_ada_norm": 1000,
    "use_linear_projection": False,
    "only_cross_attention": False,
    "cross_attention_norm": True,
    "double_self_attention": False,
    "upcast_attention": False,
    "standardization_norm": "rms_norm",
    "norm_elementwise_affine": False,
    "qk_norm": "rms_norm",
    "positional_embedding_type": "rope",
    "use_audio_video_cross_attention": True,
    "share_ff": False,
    "av_cross_ada_norm": True,
    "use_middle_indices_grid": True,
    "rope_type": "split",
    "frequencies_precision": "float64",
    "causal_temporal_positioning": True,
    "timestep_scale_multiplier": 1000,
    "av_ca_timestep_scale_multiplier": 1000.0,
    "positional_embedding_max_pos": [20, 2048, 2048],
    "audio_positional_embedding_max_pos": [20],
    "connector_positional_embedding_max_pos": [4096],
    "caption_channels": 3840,
}
SINCE_2_3: Config = {
    "caption_proj_before_connector": True,
    "caption_projection_first_linear": False,
    "caption_proj_input_norm": False,
    "caption_projection_second_linear": False,
    "apply_gated_attention": True,
    "cross_attention_adaln": True,
    "connector_apply_gated_attention": True,
}
FULL: Config = {
    "num_layers": 48,
    "num_attention_heads": 32,
    "attention_head_dim": 128,
    "cross_attention_dim": 4096,
    "audio_num_attention_heads": 32,
    "audio_attention_head_dim": 64,
    "audio_cross_attention_dim": 2048,
}
FULL_CONNECTORS: dict[str, Config] = {
    "2.0": {
        "connector_num_attention_heads": 30,
        "connector_attention_head_dim": 128,
        "connector_num_layers": 2,
    },
    "2.3": {
        "connector_num_attention_heads": 32,
        "connector_attention_head_dim": 128,
        "audio_connector_num_attention_heads": 32,
        "audio_connector_attention_head_dim": 64,
        "connector_num_layers": 8,
    },
}
NARROW: Config = {
    "num_layers": 2,
    "num_attention_heads": 4,
    "attention_head_dim": 32,
    "cross_attention_dim": 128,
    "audio_num_attention_heads": 4,
    "audio_attention_head_dim": 16,
    "audio_cross_attention_dim": 64,
    "caption_channels": 64,
}
NARROW_CONNECTORS: dict[str, Config] = {
    "2.0": {
        "connector_num_attention_heads": 2,
        "connector_attention_head_dim": 32,
        "connector_num_layers": 1,
    },
    "2.3": {
        "connector_num_attention_heads": 4,
        "connector_attention_head_dim": 32,
        "audio_connector_num_attention_heads": 4,
        "audio_connector_attention_head_dim": 16,
        "connector_num_layers": 1,
    },
}
STATES = {"full": 49, "narrow": 3}
"""How many states of the text encoder the projection takes: one of each layer and the embeddings."""

VAE: Config = {
    "_class_name": "CausalVideoAutoencoder",
    "dims": 3,
    "in_channels": 3,
    "out_channels": 3,
    "latent_channels": 128,
    "norm_layer": "pixel_norm",
    "patch_size": 4,
    "latent_log_var": "uniform",
    "causal_decoder": False,
    "timestep_conditioning": False,
}
AUDIO_VAE: Config = {
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
                "ch_mult": [1, 2, 4],
                "num_res_blocks": 2,
                "attn_resolutions": [],
                "dropout": 0.0,
                "mid_block_add_attention": False,
                "norm_type": "pixel",
                "causality_axis": "height",
            },
            "sampling_rate": 16000,
        }
    },
    "preprocessing": {
        "audio": {"sampling_rate": 16000},
        "stft": {"filter_length": 1024, "hop_length": 160, "causal": True},
        "mel": {"n_mel_channels": 64},
    },
}
KERNELS: Config = {"resblock_kernel_sizes": [3, 7, 11], "resblock_dilation_sizes": [[1, 3, 5]] * 3}
AMP: Config = {
    **KERNELS,
    "stereo": True,
    "resblock": "AMP1",
    "activation": "snakebeta",
    "use_tanh_at_final": False,
    "use_bias_at_final": False,
}


def config_of(version: str, width: str = "full") -> Config:
    """The metadata's `config` of 2.0 or 2.3, `full` or `narrow`."""
    narrow = width == "narrow"
    sizes, connectors = (NARROW, NARROW_CONNECTORS) if narrow else (FULL, FULL_CONNECTORS)
    later = SINCE_2_3 if version == "2.3" else {}
    return {
        "transformer": {**TRANSFORMER, **sizes, **connectors[version], **later},
        "vae": {**VAE, "decoder_base_channels": 16 if narrow else 128, **_blocks(version, narrow)},
        "audio_vae": _audio_vae(narrow),
        "vocoder": _wide_vocoder(narrow) if version == "2.3" else _vocoder(narrow),
    }


def _blocks(version: str, narrow: bool) -> Config:
    new = version == "2.3"
    down = [4, 6, 4, 2, 2] if new else [4, 6, 6, 2, 2]
    up = [2, 2, 4, 6, 4] if new else [5, 5, 5, 5]
    wider = [2, 2, 2, 1 if new else 2]
    if narrow:
        down, up, wider = [1] * len(down), [1] * len(up), [1] * len(wider)
    ways = ["compress_space_res", "compress_time_res", "compress_all_res", "compress_all_res"]
    if new:
        back = [("compress_all", 2), ("compress_all", 1), ("compress_time", 2), ("compress_space", 2)]
    else:
        back = [("compress_all", 2)] * 3
    encoder = [["res_x", {"num_layers": down[0]}]]
    for way, factor, layers in zip(ways, wider, down[1:], strict=True):
        encoder += [[way, {"multiplier": factor}], ["res_x", {"num_layers": layers}]]
    decoder = [["res_x", {"num_layers": up[0]}]]
    for (way, factor), layers in zip(back, up[1:], strict=True):
        step = {"multiplier": factor} if new else {"multiplier": factor, "residual": True}
        decoder += [[way, step], ["res_x", {"num_layers": layers}]]
    # The decoder is listed from the pixels inwards.
    padding = {"spatial_padding_mode": "zeros"} if new else {}
    return {"encoder_blocks": encoder, "decoder_blocks": decoder[::-1], **padding}


def _audio_vae(narrow: bool) -> Config:
    if not narrow:
        return AUDIO_VAE
    params = AUDIO_VAE["model"]["params"]
    dd = {**params["ddconfig"], "ch_mult": [1, 1, 1], "num_res_blocks": 1}
    return {**AUDIO_VAE, "model": {"params": {**params, "ddconfig": dd}}}


def _vocoder(narrow: bool) -> Config:
    return {
        **KERNELS,
        "upsample_rates": [6, 5, 2, 2, 2],
        "upsample_kernel_sizes": [16, 15, 8, 4, 4],
        "upsample_initial_channel": 64 if narrow else 1024,
        "stereo": True,
        "resblock": "1",
    }


def _wide_vocoder(narrow: bool) -> Config:
    return {
        "vocoder": {
            **AMP,
            "upsample_rates": [5, 2, 2, 2, 2, 2],
            "upsample_kernel_sizes": [11, 4, 4, 4, 4, 4],
            "upsample_initial_channel": 128 if narrow else 1536,
        },
        "bwe": {
            **AMP,
            "upsample_rates": [6, 5, 2, 2, 2],
            "upsample_kernel_sizes": [12, 11, 4, 4, 4],
            "upsample_initial_channel": 64 if narrow else 512,
            "apply_final_activation": False,
            "input_sampling_rate": 16000,
            "output_sampling_rate": 48000,
            "hop_length": 80,
            "n_fft": 512,
            "num_mels": 64,
        },
    }
