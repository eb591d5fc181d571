"""Arguments of diffusers' LTX-2 modules, from the shapes of a file's tensors and its metadata.

Sizes and layers are read from the shapes, which cannot be wrong; what leaves no trace there comes from the
config in the metadata, and from the published files where a file has none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from actors.engines.diffusers.configs import Config, UnsupportedCheckpoint
from jobs.weights.header import Tensor

Shapes = Mapping[str, Tensor]
Arguments = dict[str, Any]

POSITIONS = [20, 2048, 2048]
"""Seconds, rows and columns that rotary coordinates are divided by."""
CONNECTOR_POSITIONS = 4096
HEADS = 32
CAPTION_CHANNELS = 3840
"""Width of Gemma 3 12B and of LTX's Gemma 4."""
CONNECTOR_HEAD = 128


def count(names: Iterable[str], prefix: str) -> int:
    """How many numbered entries there are below `prefix`."""
    numbers = [name[len(prefix) :].split(".")[0] for name in names if name.startswith(prefix)]
    return 1 + max(map(int, numbers), default=-1)


def transformer_arguments(shapes: Shapes, config: Config) -> Arguments:
    """Of `LTX2VideoTransformer3DModel`, from tensors by their names there."""
    block = "transformer_blocks.0."
    sizes = {
        **_side(shapes, config, ""),
        **_side(shapes, config, "audio_"),
        "num_layers": count(shapes, "transformer_blocks."),
        "use_prompt_embeddings": "caption_projection.linear_1.weight" in shapes,
        "ff_bias": f"{block}ff.net.0.proj.bias" in shapes,
        "audio_ff_bias": f"{block}audio_ff.net.0.proj.bias" in shapes,
        "use_prompt_adaln_single": "prompt_adaln.linear.weight" in shapes,
        "use_keyframes_abs_pos_embedding": "keyframes_abs_pos_embedding" in shapes,
    }
    if sizes["use_prompt_embeddings"]:
        sizes["caption_channels"] = shapes["caption_projection.linear_1.weight"].shape[1]
    # The processor of perturbed attention computes the same, and can skip blocks (STG) in 2.0, too.
    return {**sizes, **_positions(config), **_scales(config), **rotation(config), "perturbed_attn": True}


def _side(shapes: Shapes, config: Config, side: str) -> Arguments:
    """Of the video (`""`) or the sound (`"audio_"`)."""
    block = f"transformer_blocks.0.{side}"
    inner, channels = shapes[f"{side}proj_in.weight"].shape
    gates = shapes.get(f"{block}attn1.to_gate_logits.weight")
    heads = int(config.get(f"{side}num_attention_heads") or (gates.shape[0] if gates else HEADS))
    return {
        f"{side}in_channels": channels,
        f"{side}out_channels": shapes[f"{side}proj_out.weight"].shape[0],
        f"{side}num_attention_heads": heads,
        f"{side}attention_head_dim": inner // heads,
        f"{side}cross_attention_dim": shapes[f"{block}attn2.to_k.weight"].shape[1],
        f"{side}gated_attn": gates is not None,
        f"{side}cross_attn_mod": shapes[f"{block}scale_shift_table"].shape[0] == 9,
    }


def _positions(config: Config) -> Arguments:
    seconds, height, width = config.get("positional_embedding_max_pos", POSITIONS)
    sound = config.get("audio_positional_embedding_max_pos", POSITIONS[:1])[0]
    return {
        "pos_embed_max_pos": seconds,
        "base_height": height,
        "base_width": width,
        "audio_pos_embed_max_pos": sound,
    }


def _scales(config: Config) -> Arguments:
    # A config that is silent means 1, as Lightricks reads it; every published one says 1000.
    gate = config.get("av_ca_timestep_scale_multiplier", 1 if config else 1000)
    return {
        "timestep_scale_multiplier": config.get("timestep_scale_multiplier", 1000),
        "cross_attn_timestep_scale_multiplier": gate,
        "norm_eps": config.get("norm_eps", 1e-6),
    }


def rotation(config: Config) -> Arguments:
    """How rotary embeddings are laid out and computed."""
    return {
        "rope_type": config.get("rope_type", "split"),
        "rope_double_precision": config.get("frequencies_precision", "float64") == "float64",
        "rope_theta": config.get("positional_embedding_theta", 10000.0),
    }


def connector_arguments(shapes: Shapes, config: Config) -> Arguments:
    """Of `LTX2TextConnectors`, from tensors by their names there."""
    apart = "video_text_proj_in.weight" in shapes
    first = "video_text_proj_in" if apart else "text_proj_in"
    wide, flat = shapes[f"{first}.weight"].shape
    caption = int(config.get("caption_channels", CAPTION_CHANNELS)) if apart else wide
    if flat % caption:
        raise UnsupportedCheckpoint(f"its text projection takes {flat} values, no multiple of {caption}")
    audio = shapes["audio_text_proj_in.weight"].shape[0] if apart else wide
    return {
        "caption_channels": caption,
        "text_proj_in_factor": flat // caption,
        "per_modality_projections": apart,
        "video_hidden_dim": wide,
        "audio_hidden_dim": audio,
        "proj_bias": f"{first}.bias" in shapes,
        **_connector(shapes, config, "video", wide),
        **_connector(shapes, config, "audio", audio),
        "connector_rope_base_seq_len": config.get(
            "connector_positional_embedding_max_pos", [1 if config else CONNECTOR_POSITIONS]
        )[0],
        **rotation(config),
    }


def _connector(shapes: Shapes, config: Config, side: str, inner: int) -> Arguments:
    block = f"{side}_connector.transformer_blocks."
    gates = shapes.get(f"{block}0.attn1.to_gate_logits.weight")
    registers = shapes.get(f"{side}_connector.learnable_registers")
    named = [f"{side}_connector_num_attention_heads"] * (side == "audio") + ["connector_num_attention_heads"]
    said = next((int(config[name]) for name in named if config.get(name)), max(1, inner // CONNECTOR_HEAD))
    heads = gates.shape[0] if gates else said
    return {
        f"{side}_connector_num_attention_heads": heads,
        f"{side}_connector_attention_head_dim": inner // heads,
        f"{side}_connector_num_layers": count(shapes, block),
        f"{side}_connector_num_learnable_registers": registers.shape[0] if registers else None,
        f"{side}_gated_attn": gates is not None,
    }


RATIONAL = {9: 1.5, 16: 4.0}
"""Scales of a rational upsampler by how many values its layer makes of one; any other is 2."""


def upsampler_arguments(shapes: Shapes) -> Arguments:
    """Of `LTX2LatentUpsamplerModel`: in space by 2 or 1.5, or in time by 2."""
    first = shapes["initial_conv.weight"].shape
    rational = shapes.get("upsampler.conv.weight")
    spread = rational or shapes["upsampler.0.weight"]
    factor = spread.shape[0] // first[0]
    return {
        "in_channels": first[1],
        "mid_channels": first[0],
        "num_blocks_per_stage": count(shapes, "res_blocks."),
        "dims": len(first) - 2,
        "spatial_upsample": rational is not None or factor in (4, 8),
        "temporal_upsample": rational is None and factor in (2, 8),
        "use_rational_resampler": rational is not None,
        "rational_spatial_scale": RATIONAL.get(factor, 2.0),
    }
