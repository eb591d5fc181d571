"""Random-weight tiny checkpoints in the original format, shaped by the core under test itself."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

TEXT_DIM = 64
PROJECTED = 3840
"""What core's projection of Gemma gives, whatever the encoder's width."""
TRANSFORMER = {
    "_class_name": "Transformer3DModel",
    "num_layers": 3,
    "num_attention_heads": 4,
    "attention_head_dim": 32,
    "cross_attention_dim": 128,
    "caption_channels": TEXT_DIM,
    "in_channels": 128,
    "out_channels": 128,
    "causal_temporal_positioning": True,
}
# The audio context is the second half of the text embedding.
AV_TRANSFORMER = {
    **TRANSFORMER,
    "audio_num_attention_heads": 4,
    "audio_attention_head_dim": 32,
    "audio_cross_attention_dim": 128,
    "connector_num_attention_heads": 2,
    "connector_attention_head_dim": TEXT_DIM // 2,
    "connector_num_layers": 1,
}
BLOCKS = [["res_x", 1], ["compress_all", 1], ["compress_all", 1], ["compress_all", 1], ["res_x", 1]]
# Cores before 0.25 have 128 base channels whatever the config says.
VIDEO_VAE = {
    "_class_name": "CausalVideoAutoencoder",
    "dims": 3,
    "in_channels": 3,
    "out_channels": 3,
    "latent_channels": 128,
    "encoder_blocks": BLOCKS,
    "decoder_blocks": BLOCKS,
    "encoder_base_channels": 128,
    "decoder_base_channels": 128,
    "patch_size": 4,
    "norm_layer": "pixel_norm",
    "latent_log_var": "uniform",
    "causal_decoder": False,
    "timestep_conditioning": False,
    "spatial_padding_mode": "zeros",
}
AUDIO_SIDE = {
    "double_z": True,
    "mel_bins": 64,
    "z_channels": 8,
    "resolution": 256,
    "in_channels": 2,
    "out_ch": 2,
    "ch": 16,
    "ch_mult": [1, 2, 4],
    "num_res_blocks": 1,
    "attn_resolutions": [],
    "dropout": 0.0,
    "mid_block_add_attention": False,
    "norm_type": "pixel",
    "causality_axis": "height",
}
AUDIO_VAE = {"model": {"params": {"ddconfig": AUDIO_SIDE, "sampling_rate": 16000}}}
VOCODER = {
    "resblock_kernel_sizes": [3],
    "upsample_rates": [5, 4, 2, 2, 2],
    "upsample_kernel_sizes": [11, 8, 4, 4, 4],
    "resblock_dilation_sizes": [[1, 3, 5]],
    "upsample_initial_channel": 64,
    "stereo": True,
    "resblock": "1",
}
UPSAMPLER = {
    "_class_name": "LatentUpsampler",
    "in_channels": 128,
    "mid_channels": 32,
    "num_blocks_per_stage": 1,
    "dims": 3,
    "spatial_upsample": True,
    "temporal_upsample": False,
}


def write_ltxv(path: Path) -> Path:
    """Transformer and video VAE."""
    from comfy.ldm.lightricks.model import LTXVModel

    tensors = {**_transformer(LTXVModel, TRANSFORMER), **_video_vae()}
    return _write(path, tensors, {"transformer": TRANSFORMER, "vae": VIDEO_VAE})


def write_parts(folder: Path) -> tuple[Path, Path]:
    """What `write_ltxv` writes as two files: the diffusion model and the video VAE."""
    from comfy.ldm.lightricks.model import LTXVModel

    whole = _transformer(LTXVModel, TRANSFORMER)
    bare = {name.removeprefix("model.diffusion_model."): tensor for name, tensor in whole.items()}
    vae = {name.removeprefix("vae."): tensor for name, tensor in _video_vae().items()}
    return (
        _write(folder / "ltxv_model.safetensors", bare, {"transformer": TRANSFORMER}),
        _write(folder / "ltxv_vae.safetensors", vae, {"vae": VIDEO_VAE}),
    )


def write_noisy_vae(path: Path) -> Path:
    """A video VAE whose decoder is conditioned on a timestep, and draws noise for it."""
    config = {**VIDEO_VAE, "timestep_conditioning": True}
    return _write(path, _video_vae(config), {"vae": config})


def write_prompted(path: Path) -> Path:
    """As `write_ltxv`, but it reads what RSLTXVTinyPrompt says, and holds that text encoder for the farm."""
    from comfy.ldm.lightricks.model import LTXVModel

    from actors.engines.comfyui.loading.tiny import PROJECTION_PREFIX, TEXT_PREFIX, configs_of, tensors_of
    from actors.models import TINY_CHECKPOINT

    words = configs_of(TINY_CHECKPOINT)["text_encoder"]
    text = {
        prefix + name: tensor
        for prefix in (TEXT_PREFIX, PROJECTION_PREFIX)
        for name, tensor in tensors_of(TINY_CHECKPOINT, prefix).items()
    }
    width = sum(tensor.shape[0] for name, tensor in text.items() if name.endswith("_aggregate_embed.weight"))
    transformer = {**TRANSFORMER, "caption_channels": width}
    tensors = {**_transformer(LTXVModel, transformer), **_video_vae(), **text}
    return _write(path, tensors, {"transformer": transformer, "vae": VIDEO_VAE, "text_encoder": words})


def write_ltxav(path: Path) -> Path:
    """Transformer of both modalities, video VAE, audio VAE and vocoder, and a text encoder of the tiny kind,
    so that a job spec can be rendered with it."""
    from comfy.ldm.lightricks.av_model import LTXAVModel

    text, words = _text_encoder(2 * TEXT_DIM)
    tensors = {**_transformer(LTXAVModel, AV_TRANSFORMER), **_video_vae(), **_audio_vae(), **text}
    config = {
        "transformer": AV_TRANSFORMER,
        "vae": VIDEO_VAE,
        "audio_vae": AUDIO_VAE,
        "vocoder": VOCODER,
        "text_encoder": words,
    }
    return _write(path, tensors, config)


def write_av_parts(folder: Path) -> tuple[Path, Path]:
    """A transformer of both modalities that reads what Gemma's projection gives, and the video VAE."""
    from comfy.ldm.lightricks.av_model import LTXAVModel

    config = {
        **AV_TRANSFORMER,
        "caption_channels": PROJECTED,
        "connector_attention_head_dim": PROJECTED // 2,
        "connector_num_layers": 0,
    }
    whole = _transformer(LTXAVModel, config)
    bare = {name.removeprefix("model.diffusion_model."): tensor for name, tensor in whole.items()}
    vae = {name.removeprefix("vae."): tensor for name, tensor in _video_vae().items()}
    return (
        _write(folder / "ltxav_model.safetensors", bare, {"transformer": config}),
        _write(folder / "ltxav_vae.safetensors", vae, {"vae": VIDEO_VAE}),
    )


def write_upsampler(path: Path) -> Path:
    import comfy.ops
    from comfy.ldm.lightricks.latent_upsampler import LatentUpsampler

    built_with = inspect.signature(LatentUpsampler.from_config).parameters
    layers = {"operations": comfy.ops.disable_weight_init} if "operations" in built_with else {}
    return _write(path, _random(LatentUpsampler.from_config(UPSAMPLER, **layers), "", seed=3), UPSAMPLER)


def write_lora(path: Path, rank: int = 4) -> Path:
    """A strong LoRA on every self-attention's query projection."""
    generator = torch.Generator().manual_seed(4)
    sizes: dict[str, Any] = TRANSFORMER
    inner = sizes["num_attention_heads"] * sizes["attention_head_dim"]
    tensors = {}
    for block in range(sizes["num_layers"]):
        name = f"diffusion_model.transformer_blocks.{block}.attn1.to_v"
        tensors[f"{name}.lora_A.weight"] = torch.randn(rank, inner, generator=generator)
        tensors[f"{name}.lora_B.weight"] = torch.randn(inner, rank, generator=generator)
    save_file(tensors, path)
    return path


def _transformer(kind: Any, config: dict[str, Any]) -> dict[str, torch.Tensor]:
    import comfy.ops

    model = kind(**config, dtype=torch.float32, device="cpu", operations=comfy.ops.disable_weight_init)
    return _random(model, "model.diffusion_model.", seed=1)


def _text_encoder(dim: int) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """An encoder of `dim` with the bundled model's vocabulary, and its config."""
    from actors.engines.comfyui.loading.tiny import TEXT_PREFIX, configs_of
    from actors.models import TINY_CHECKPOINT
    from actors.models.tiny_text import TinyTextEncoder

    config = {**configs_of(TINY_CHECKPOINT)["text_encoder"], "dim": dim, "layers": 1, "heads": 4}
    return _random(TinyTextEncoder.from_config(config), TEXT_PREFIX, seed=7), config


def _video_vae(config: dict[str, Any] = VIDEO_VAE) -> dict[str, torch.Tensor]:
    from comfy.ldm.lightricks.vae.causal_video_autoencoder import VideoVAE

    tensors = _random(VideoVAE(config=config), "vae.", seed=2)
    return {**tensors, **_statistics("vae.per_channel_statistics.", tensors)}


def _audio_vae() -> dict[str, torch.Tensor]:
    from comfy.ldm.lightricks.vae.causal_audio_autoencoder import CausalAudioAutoencoder
    from comfy.ldm.lightricks.vocoders.vocoder import Vocoder

    tensors = _random(CausalAudioAutoencoder(config=AUDIO_VAE), "audio_vae.", seed=5)
    statistics = _statistics("audio_vae.per_channel_statistics.", tensors)
    return {**tensors, **statistics, **_random(Vocoder(config=VOCODER), "vocoder.", seed=6)}


def _random(module: torch.nn.Module, prefix: str, seed: int) -> dict[str, torch.Tensor]:
    """Weights of about unit gain, small biases and modulation tables, drawn in the order of their names."""
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, tensor in sorted(module.state_dict().items()):
        fan_in = tensor[0].numel() if tensor.ndim > 1 else 1
        scale = fan_in**-0.5 if tensor.ndim > 1 else 0.05
        drawn = torch.randn(tensor.shape, generator=generator) * scale
        is_norm_weight = tensor.ndim == 1 and name.endswith("weight")
        tensors[prefix + name] = (drawn + 1.0 if is_norm_weight else drawn).to(torch.float32)
    return tensors


def _statistics(prefix: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {
        name: torch.ones_like(tensor) if name.endswith("std-of-means") else torch.zeros_like(tensor)
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }


def _write(path: Path, tensors: dict[str, torch.Tensor], config: dict[str, Any]) -> Path:
    save_file(
        {name: tensor.contiguous() for name, tensor in tensors.items()}, path, {"config": json.dumps(config)}
    )
    return path
