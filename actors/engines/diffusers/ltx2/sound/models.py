"""Arguments of diffusers' audio VAE and vocoders, from the shapes of a file's tensors and its metadata."""

from __future__ import annotations

from typing import Any

from actors.engines.diffusers.configs import Config, UnsupportedCheckpoint
from actors.engines.diffusers.ltx2.models import Arguments, Shapes, count

DILATIONS = (1, 3, 5)
FACTORS = {
    (16, 15, 8, 4, 4): (6, 5, 2, 2, 2),
    (11, 4, 4, 4, 4, 4): (5, 2, 2, 2, 2, 2),
    (12, 11, 4, 4, 4): (6, 5, 2, 2, 2),
}
"""How much each step of the published vocoders spreads a sound, by the sizes of their kernels."""
RATE, WIDE_RATE, NARROW_RATE = 24000, 48000, 16000
"""Samples a second of 2.0's vocoder; of 2.3's, and of its first half."""
MEL_BINS = 64


def audio_vae_arguments(shapes: Shapes, config: Config) -> Arguments:
    """Of `AutoencoderKLLTX2Audio`; `config` is the metadata's `audio_vae`."""
    given = config.get("model", {}).get("params", {})
    dd, stft = given.get("ddconfig", {}), config.get("preprocessing", {}).get("stft", {})
    width, channels = shapes["encoder.conv_in.conv.weight"].shape[:2]
    latent = shapes["decoder.conv_in.conv.weight"].shape[1]
    levels = range(count(shapes, "decoder.up."))
    widths = [shapes[f"decoder.up.{level}.block.0.conv1.conv.weight"].shape[0] for level in levels]
    return {
        "base_channels": width,
        "ch_mult": tuple(wide // width for wide in widths),
        # The decoder has one more than the encoder, which may have none.
        "num_res_blocks": count(shapes, "decoder.up.0.block.") - 1,
        "in_channels": channels,
        "output_channels": shapes["decoder.conv_out.conv.weight"].shape[0],
        "latent_channels": latent,
        "double_z": shapes["encoder.conv_out.conv.weight"].shape[0] == 2 * latent,
        "mid_block_add_attention": any(".attn_1." in name for name in shapes),
        "attn_resolutions": tuple(dd.get("attn_resolutions") or ()) or None,
        "resolution": dd.get("resolution", 256),
        "norm_type": dd.get("norm_type", "pixel"),
        "causality_axis": dd.get("causality_axis", "height"),
        "mel_bins": dd.get("mel_bins", MEL_BINS),
        "sample_rate": given.get("sampling_rate", 16000),
        "mel_hop_length": stft.get("hop_length", 160),
        "is_causal": stft.get("causal", True),
    }


def vocoder_arguments(shapes: Shapes, config: Config) -> Arguments:
    """Of `LTX2Vocoder` (2.0); `config` is the metadata's `vocoder`."""
    final = "tanh" if config.get("use_tanh_at_final", True) else "clamp"
    rate = config.get("output_sampling_rate", RATE)
    return {**_generator(shapes, config), "final_act_fn": final, "output_sampling_rate": rate}


def wide_vocoder_arguments(shapes: Shapes, config: Config) -> Arguments:
    """Of `LTX2VocoderWithBWE` (2.3 and later), whose second half adds the high frequencies."""
    narrow, wide = config.get("vocoder", {}), config.get("bwe", {})
    first = _generator(_below(shapes, "vocoder."), narrow)
    second = _generator(_below(shapes, "bwe_generator."), wide)
    basis = shapes["mel_stft.stft_fn.forward_basis"].shape
    return {
        **first,
        # Lightricks clamps the first half where it has no tanh; diffusers' converter leaves both out.
        "final_act_fn": "tanh" if narrow.get("use_tanh_at_final", False) else "clamp",
        **{f"bwe_{name}": value for name, value in second.items()},
        "bwe_final_act_fn": None,
        "filter_length": basis[2],
        "window_length": basis[2],
        "hop_length": wide.get("hop_length", 80),
        "num_mel_channels": shapes["mel_stft.mel_basis"].shape[0],
        "input_sampling_rate": wide.get("input_sampling_rate", NARROW_RATE),
        "output_sampling_rate": wide.get("output_sampling_rate", WIDE_RATE),
    }


def _below(shapes: Shapes, prefix: str) -> Shapes:
    return {name[len(prefix) :]: t for name, t in shapes.items() if name.startswith(prefix)}


def _generator(shapes: Shapes, config: Config) -> Arguments:
    """What the halves of a vocoder have in common."""
    steps = count(shapes, "upsamplers.")
    kernels = tuple(shapes[f"upsamplers.{step}.weight"].shape[2] for step in range(steps))
    blocks = count(shapes, "resnets.") // steps
    factors = config.get("upsample_rates") or FACTORS.get(kernels)
    if factors is None:
        raise UnsupportedCheckpoint(
            f"its vocoder has kernels of {list(kernels)}, and no config says its rates"
        )
    hidden, channels, _ = shapes["conv_in.weight"].shape
    return {
        "in_channels": channels,
        "hidden_channels": hidden,
        "out_channels": shapes["conv_out.weight"].shape[0],
        "upsample_kernel_sizes": list(kernels),
        "upsample_factors": list(factors),
        "resnet_kernel_sizes": [shapes[f"resnets.{i}.convs1.0.weight"].shape[2] for i in range(blocks)],
        "resnet_dilations": config.get("resblock_dilation_sizes") or _dilations(shapes, blocks),
        "final_bias": "conv_out.bias" in shapes,
        **_activation(shapes),
    }


def _dilations(shapes: Shapes, blocks: int) -> list[list[int]]:
    return [list(DILATIONS[: count(shapes, f"resnets.{i}.convs1.")]) for i in range(blocks)]


def _activation(shapes: Shapes) -> dict[str, Any]:
    first = "resnets.0.acts1.0."
    if not any(name.startswith(first) for name in shapes):
        return {"act_fn": "leaky_relu", "antialias": False}
    smooth = f"{first}upsample.filter" in shapes
    inner = f"{first}act." if smooth else first
    return {"act_fn": "snakebeta" if f"{inner}beta" in shapes else "snake", "antialias": smooth}
