"""Model files -> `PixelVae`: what its tensors are called, and how it is built."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

from actors.engines.diffusers.checkpoint import Checkpoint, Component
from actors.engines.diffusers.configs import Config, UnsupportedCheckpoint
from actors.engines.diffusers.ltx2.models import Arguments, Shapes, count
from actors.engines.diffusers.ltx2.names import PIXEL_DECODER, UNUSED_PIXELS, replaced, vae_names
from actors.engines.diffusers.ltx2.pixels.unfused import Unfused
from actors.engines.diffusers.ltx2.pixels.vae import PixelVae
from actors.engines.diffusers.ltx2.together import Together
from actors.engines.diffusers.ltx2.vae_model import encoder_arguments
from jobs.weights.describe import vae_prefix
from jobs.weights.header import component_config
from jobs.weights.use import NO_ENCODER, encoder_beside

KERNELS = ((3, 7, 7), (3, 7, 7), (3, 5, 5), (3, 5, 5))
LAST_KERNEL = (11, 11, 11)
STEPS = (((1, 2, 2), 2), ((2, 1, 1), 2), ((2, 2, 2), 1), ((2, 2, 2), 2))
"""Of the published file: neighbours of each stage; by how much each step grows, and divides the channels."""


def pixel_vae_component(checkpoint: Checkpoint) -> Component:
    """The video VAE with a diffusion decoder of a file, or of a folder of diffusers and the one beside it."""
    if checkpoint.path.is_dir():
        return _of_folders(checkpoint)
    prefix = vae_prefix(checkpoint.weights) or ""
    opened = Unfused.of(checkpoint)
    own = {
        key.removeprefix(prefix): key
        for key in opened.weights.tensors
        if key.startswith(prefix) and key.removeprefix(prefix) not in UNUSED_PIXELS
    }
    stored = {replaced(new, PIXEL_DECODER): own[name] for new, name in vae_names(own).items()}
    shapes = {name: opened.weights.tensors[key] for name, key in own.items()}
    config = checkpoint.configs.get("vae", {})
    decoder = decoder_arguments(shapes, config)
    encoder = encoder_arguments(shapes, config.get("encoder", {}))
    return Component(opened, "vae", lambda: _built(encoder, decoder), stored, "LTX-2")


def decoder_arguments(shapes: Shapes, config: Config) -> Arguments:
    """Of diffusers' `LTX2VideoDiffusionDecoder3d`, from tensors by their published names; `config` is the
    metadata's `vae`."""
    own = config.get("decoder", {})
    widths = [shapes["decoder.conv_in.weight"].shape[0]]
    steps = own.get("upsamples", STEPS)
    for number, (stride, _) in enumerate(steps):
        widths.append(shapes[f"decoder.upsamples.{number}.proj.weight"].shape[0] // prod(stride))
    stages = [f"decoder.det_stages.{number}." for number in range(len(steps))]
    pixels = shapes["decoder.conv_in_x_t.weight"].shape[1]
    return {
        "in_channels": shapes["decoder.conv_in.weight"].shape[1],
        "patch_size": round((pixels / 3) ** 0.5),
        "head_dim": shapes["decoder.det_stages.0.0.attn.q_norm.weight"].shape[0],
        "stage_channels": tuple(widths),
        "stage_depths": tuple(count(shapes, start) for start in (*stages, "decoder.diff_blocks.")),
        # The file lists the last stage here, too.
        "stage_kernels": tuple(map(tuple, own.get("stage_kernels", KERNELS)[: len(steps)])),
        "upsample_strides": tuple(tuple(stride) for stride, _ in steps),
        "upsample_channel_reductions": tuple(divisor for _, divisor in steps),
        "stage5_kernel": tuple(own.get("stage5_kernel", LAST_KERNEL)),
        "t_emb_dim": shapes["decoder.t_embedder.mlp.2.weight"].shape[0],
        "timestep_scale_multiplier": own.get("timestep_scale_multiplier", 1000.0),
        "model_output_type": config.get("model_output_type", "x0"),
        "default_num_inference_steps": own.get("default_num_inference_steps", 1),
    }


def _built(encoder: Arguments, decoder: Arguments) -> PixelVae:
    from diffusers.models.autoencoders import autoencoder_kl_ltx2, ltx2_diffusion_decoder

    return PixelVae(
        autoencoder_kl_ltx2.LTX2VideoEncoder3d(**encoder),
        ltx2_diffusion_decoder.LTX2VideoDiffusionDecoder3d(**decoder),
        decoder["in_channels"],
    )


def _of_folders(checkpoint: Checkpoint) -> Component:
    """As diffusers saves them: the decoder has a folder of its own, and the encoder is that of `vae`."""
    beside = encoder_beside(checkpoint.path)
    if beside is None:
        raise UnsupportedCheckpoint(f"{checkpoint.path.name} is not {NO_ENCODER}")
    both = Together.open_all([beside, checkpoint.path])
    names = {*checkpoint.weights.tensors, *(n for n in both.weights.tensors if n.startswith("encoder."))}
    stored = {name: name for name in sorted(names)}
    return Component(both, "vae", lambda: _saved(beside, checkpoint.path), stored, "LTX-2")


def _saved(encoder: Path, decoder: Path) -> PixelVae:
    import diffusers

    first = diffusers.AutoencoderKLLTX2Video.from_config(component_config(encoder))
    second: Any = diffusers.LTX2VideoDiffusionDecoderModel.from_config(component_config(decoder))
    return PixelVae(first.encoder, second.decoder, second.config.latent_channels)
