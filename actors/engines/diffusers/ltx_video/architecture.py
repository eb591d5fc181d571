"""The shapes of LTX-Video's parts: original Lightricks configs -> diffusers modules with fresh weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from actors.engines.diffusers.configs import Config, UnsupportedCheckpoint

if TYPE_CHECKING:
    from diffusers import AutoencoderKLLTXVideo, LTXVideoTransformer3DModel
    from diffusers.pipelines.ltx.modeling_latent_upsampler import LTXLatentUpsamplerModel

Block = tuple[str, dict[str, Any]]


DOWN_TYPES = {
    "compress_all": "conv",
    "compress_all_res": "spatiotemporal",
    "compress_space_res": "spatial",
    "compress_time_res": "temporal",
}


def build_transformer(config: Config) -> LTXVideoTransformer3DModel:
    """A transformer with fresh weights from an original `transformer` config."""
    from diffusers import LTXVideoTransformer3DModel

    if list(config.get("positional_embedding_max_pos", [20, 2048, 2048])) != [20, 2048, 2048]:
        raise UnsupportedCheckpoint(
            "diffusers fixes positional_embedding_max_pos at [20, 2048, 2048]; use the comfyui engine"
        )
    names = (
        "in_channels",
        "num_layers",
        "num_attention_heads",
        "attention_head_dim",
        "cross_attention_dim",
        "caption_channels",
    )
    return LTXVideoTransformer3DModel(
        **{name: config[name] for name in names if name in config},
        out_channels=config.get("out_channels") or config.get("in_channels", 128),
        norm_eps=config.get("norm_eps", 1e-6),
    )


def build_vae(config: Config) -> AutoencoderKLLTXVideo:
    """A video VAE with fresh weights from an original `vae` config."""
    from diffusers import AutoencoderKLLTXVideo

    padding = config.get("spatial_padding_mode", "zeros")
    if padding != "zeros":
        raise UnsupportedCheckpoint(
            f"diffusers pads with zeros, this VAE with {padding}; use the comfyui engine"
        )
    return AutoencoderKLLTXVideo(
        **_encoder_arguments(config),
        **_decoder_arguments(config),
        in_channels=config.get("in_channels", 3),
        out_channels=config.get("out_channels", 3),
        latent_channels=config.get("latent_channels", 128),
        patch_size=config.get("patch_size", 4),
        timestep_conditioning=config.get("timestep_conditioning", False),
        scaling_factor=config.get("scaling_factor", 1.0),
        encoder_causal=True,
        decoder_causal=config.get("causal_decoder", False),
        spatial_compression_ratio=32,
        temporal_compression_ratio=8,
    )


def build_upsampler(config: Config) -> LTXLatentUpsamplerModel:
    """A latent upsampler with fresh weights from an original `LatentUpsampler` config."""
    from diffusers.pipelines.ltx.modeling_latent_upsampler import LTXLatentUpsamplerModel

    if config.get("rational_resampler"):
        raise UnsupportedCheckpoint("diffusers has no rational resampler; use a 2x latent upsampler")
    names = (
        "in_channels",
        "mid_channels",
        "num_blocks_per_stage",
        "dims",
        "spatial_upsample",
        "temporal_upsample",
    )
    return LTXLatentUpsamplerModel(**{name: config[name] for name in names if name in config})


def blocks_of(config: Config, side: str) -> list[Block]:
    """The block list of one side in running order, each as (name, parameters)."""
    raw = config.get(f"{side}_blocks") or config["blocks"]
    blocks = [(name, dict(p) if isinstance(p, Mapping) else {"num_layers": p}) for name, p in raw]
    return blocks if side == "encoder" else blocks[::-1]


def is_conv_encoder(blocks: list[Block]) -> bool:
    return any(name == "compress_all" for name, _ in blocks)


def _encoder_arguments(config: Config) -> dict[str, Any]:
    blocks = blocks_of(config, "encoder")
    width = int(config.get("encoder_base_channels", 128))
    widths, layers, scaling, kinds = [width], [], [], []
    for i, (name, parameters) in enumerate(blocks):
        if name == "res_x":
            layers.append(parameters["num_layers"])
        if name.endswith("_res"):
            width *= parameters.get("multiplier", 2)
        if name == "res_x_y":
            width *= parameters.get("multiplier", 2)
            widths.append(width)
        if name in DOWN_TYPES:
            scaling.append(True)
            kinds.append(DOWN_TYPES[name])
            if blocks[i + 1][0] == "res_x":
                widths.append(width)
    if is_conv_encoder(blocks):
        # The conv layout ends in two runs of res_x: a stage without downsampling, then the mid block.
        scaling.append(False)
        kinds.append("conv")
        block_type = "LTXVideoDownBlock3D"
    else:
        block_type = "LTXVideo095DownBlock3D"
    return {
        "block_out_channels": tuple(widths),
        "down_block_types": (block_type,) * len(kinds),
        "layers_per_block": tuple(layers),
        "spatio_temporal_scaling": tuple(scaling),
        "downsample_type": tuple(kinds),
    }


def _narrowing(blocks: list[Block]) -> int:
    """By how much the decoder's first block is wider than its last."""
    factor = 1
    for name, parameters in blocks:
        if name == "compress_all":
            factor *= parameters.get("multiplier", 1)
        if name == "res_x_y":
            factor *= parameters.get("multiplier", 2)
    return factor


def _decoder_arguments(config: Config) -> dict[str, Any]:
    """Diffusers lists the decoder from the output inwards, so everything collected in running order is
    reversed.
    """
    blocks = blocks_of(config, "decoder")
    factors, residual, scaling, layers, noise, ratios = [], [], [], [], [], []
    width = int(config.get("decoder_base_channels", 128)) * _narrowing(blocks)
    widths: list[int] = []
    pending_up, pending_ratio = None, 1
    for i, (name, parameters) in enumerate(blocks):
        if name == "compress_all":
            pending_up = parameters
        elif name == "res_x_y":
            pending_ratio = parameters.get("multiplier", 2)
        else:
            layers.append(parameters["num_layers"])
            noise.append(bool(parameters.get("inject_noise", False)))
            if i == 0:
                continue
            factor = (pending_up or {}).get("multiplier", 1)
            width //= pending_ratio
            widths.append(width)
            width //= factor
            factors.append(factor)
            residual.append(bool((pending_up or {}).get("residual", False)))
            scaling.append(pending_up is not None)
            ratios.append(pending_ratio)
            pending_up, pending_ratio = None, 1
    return {
        "decoder_block_out_channels": tuple(reversed(widths)),
        "decoder_layers_per_block": tuple(reversed(layers)),
        "decoder_inject_noise": tuple(reversed(noise)),
        "decoder_spatio_temporal_scaling": tuple(reversed(scaling)),
        "upsample_residual": tuple(reversed(residual)),
        "upsample_factor": tuple(reversed(factors)),
    }
