"""Arguments of diffusers' LTX-2 video VAE with convolutions, from the shapes of a file's tensors."""

from __future__ import annotations

from dataclasses import dataclass

from actors.engines.diffusers.configs import Config, UnsupportedCheckpoint
from actors.engines.diffusers.ltx2.models import Arguments, Shapes, count

STEPS = {4: "spatial", 2: "temporal", 8: "spatiotemporal"}
"""What a change of resolution does, by how many values become one."""
FIRST_WIDTH = 128
"""Of the encoder, in every LTX-2 VAE. LTX-Video's VAEs have others or other blocks."""
STEPS_OF_2_0 = 3
"""2.0's decoder goes up in three steps, and each adds its input; later ones in four that do not."""


@dataclass(frozen=True)
class _Path:
    """One side in running order: width, layers and noise of each stage, and the steps between them."""

    widths: tuple[int, ...]
    layers: tuple[int, ...]
    noise: tuple[bool, ...]
    steps: tuple[str, ...]


def is_ltx2_vae(shapes: Shapes) -> bool:
    """Whether a VAE is one of LTX-2, from tensors by their published names."""
    first = shapes.get("encoder.conv_in.conv.weight")
    down = "encoder.down_blocks.1.conv.conv.weight" in shapes
    return first is not None and first.shape[0] == FIRST_WIDTH and down and _alternates(shapes)


def _alternates(shapes: Shapes) -> bool:
    """Layers and steps take turns, and nothing else stands between them."""
    sides = ("encoder.down_blocks.", "decoder.up_blocks.")
    return all(
        any(name.startswith(f"{side}{number}.{'conv.' if number % 2 else 'res_blocks.'}") for name in shapes)
        for side in sides
        for number in range(count(shapes, side))
    )


def vae_arguments(shapes: Shapes, config: Config) -> Arguments:
    """Of `AutoencoderKLLTX2Video`, from tensors by their published names; `config` is the metadata's
    `vae`."""
    down, up = _encoder(shapes), _decoder(shapes)
    factors = [wide // narrow for wide, narrow in zip(up.widths[:-1], up.widths[1:], strict=True)]
    old = len(up.steps) == STEPS_OF_2_0
    said = config.get("spatial_padding_mode")
    return {
        "latent_channels": shapes["decoder.conv_in.conv.weight"].shape[1],
        "block_out_channels": down.widths[1:],
        "down_block_types": ("LTX2VideoDownBlock3D",) * len(down.steps),
        "layers_per_block": down.layers,
        "spatio_temporal_scaling": (True,) * len(down.steps),
        "downsample_type": down.steps,
        # diffusers lists the decoder from the pixels inwards, but for the kinds of its steps.
        "decoder_block_out_channels": up.widths[-2::-1],
        "decoder_layers_per_block": up.layers[::-1],
        "decoder_spatio_temporal_scaling": (True,) * len(up.steps),
        "decoder_inject_noise": up.noise[::-1],
        "upsample_type": up.steps,
        "upsample_residual": (_residual(config, old),) * len(up.steps),
        "upsample_factor": tuple(factors[::-1]),
        "timestep_conditioning": any("time_embedder" in name for name in shapes),
        "patch_size": round((shapes["encoder.conv_in.conv.weight"].shape[1] / 3) ** 0.5),
        "encoder_causal": True,
        "decoder_causal": config.get("causal_decoder", False),
        "encoder_spatial_padding_mode": config.get("encoder_spatial_padding_mode", said or "zeros"),
        "decoder_spatial_padding_mode": said or ("reflect" if old or config else "zeros"),
        "spatial_compression_ratio": 32,
        "temporal_compression_ratio": 8,
    }


def encoder_arguments(shapes: Shapes, config: Config) -> Arguments:
    """Of `LTX2VideoEncoder3d` alone; `config` is that of the encoder."""
    down = _encoder(shapes)
    return {
        "out_channels": shapes["encoder.conv_out.conv.weight"].shape[0] - 1,
        "block_out_channels": down.widths[1:],
        "down_block_types": ("LTX2VideoDownBlock3D",) * len(down.steps),
        "layers_per_block": down.layers,
        "spatio_temporal_scaling": (True,) * len(down.steps),
        "downsample_type": down.steps,
        "patch_size": round((shapes["encoder.conv_in.conv.weight"].shape[1] / 3) ** 0.5),
        "spatial_padding_mode": config.get("spatial_padding_mode", "zeros"),
    }


def _residual(config: Config, old: bool) -> bool:
    """Whether a step up adds its input; the blocks of a config say it for each, and all alike."""
    blocks = [block[1] for block in config.get("decoder_blocks", ()) if str(block[0]).startswith("compress")]
    return bool(blocks[0].get("residual", False)) if blocks else old


def _encoder(shapes: Shapes) -> _Path:
    prefix = "encoder.down_blocks."
    stages, layers = _stages(shapes, prefix)
    wide = shapes["encoder.conv_out.conv.weight"].shape[1]
    widths = [_width(shapes, f"{prefix}{stage}.", wide) for stage in stages]
    steps = [
        _step(after, shapes[f"{prefix}{stage + 1}.conv.conv.weight"].shape[0], "encoder")
        for stage, after in zip(stages[:-1], widths[1:], strict=True)
    ]
    return _Path((widths[0], *widths[1:]), layers, (False,) * len(layers), tuple(steps))


def _decoder(shapes: Shapes) -> _Path:
    prefix = "decoder.up_blocks."
    stages, layers = _stages(shapes, prefix)
    narrow = shapes["decoder.conv_out.conv.weight"].shape[1]
    widths = [_width(shapes, f"{prefix}{stage}.", narrow) for stage in stages]
    steps = [
        _step(shapes[f"{prefix}{stage + 1}.conv.conv.weight"].shape[0], after, "decoder")
        for stage, after in zip(stages[:-1], widths[1:], strict=True)
    ]
    noise = tuple(f"{prefix}{stage}.res_blocks.0.per_channel_scale1" in shapes for stage in stages)
    return _Path(tuple(widths), layers, noise, tuple(steps))


def _stages(shapes: Shapes, prefix: str) -> tuple[list[int], tuple[int, ...]]:
    """Numbers of the blocks that hold layers, and how many."""
    stages = list(range(0, count(shapes, prefix), 2))
    return stages, tuple(count(shapes, f"{prefix}{stage}.res_blocks.") for stage in stages)


def _width(shapes: Shapes, place: str, otherwise: int) -> int:
    first = shapes.get(f"{place}res_blocks.0.conv1.conv.weight")
    return first.shape[0] if first else otherwise


def _step(values: int, channels: int, side: str) -> str:
    kind = STEPS.get(values // channels)
    if kind is None or values % channels:
        raise UnsupportedCheckpoint(f"the {side} of its VAE changes the resolution in an unknown way")
    return kind
