"""LTX-2 files in the published layout, made and named by ltx-core's own modules."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from ltx_core.loader import (
    LTXV_LORA_COMFY_RENAMING_MAP,
    LoraStateDictWithStrength,
    SafetensorsModelStateDictLoader,
)
from ltx_core.loader.fuse_loras import _prepare_deltas
from ltx_core.model.audio_vae.model_configurator import (
    AudioDecoderConfigurator,
    AudioEncoderConfigurator,
    VocoderConfigurator,
)
from ltx_core.model.transformer.model_configurator import LTXModelConfigurator
from ltx_core.model.video_vae.model_configurator import VideoDecoderConfigurator, VideoEncoderConfigurator
from ltx_core.text_encoders.gemma.embeddings_connector import (
    AudioEmbeddings1DConnectorConfigurator,
    Embeddings1DConnectorConfigurator,
)
from ltx_core.text_encoders.gemma.embeddings_processor import EmbeddingsProcessor
from ltx_core.text_encoders.gemma.feature_extractor import FeatureExtractorV1, FeatureExtractorV2
from safetensors.torch import save_file
from torch import Tensor, nn

from tests.official.ltx2_configs import STATES, config_of

PREFIXES = {
    "transformer": "model.diffusion_model.",
    "encoder": "vae.encoder.",
    "decoder": "vae.decoder.",
    "audio_encoder": "audio_vae.encoder.",
    "audio_decoder": "audio_vae.decoder.",
    "vocoder": "vocoder.",
}
TEXT = {
    "feature_extractor.": "text_embedding_projection.",
    "video_connector.": "model.diffusion_model.video_embeddings_connector.",
    "audio_connector.": "model.diffusion_model.audio_embeddings_connector.",
}


def modules(version: str, width: str = "narrow") -> dict[str, Any]:
    """Every part of a model, with weights of no meaning."""
    config = config_of(version, width)
    return {
        "transformer": LTXModelConfigurator.from_config(config),
        "text": text_processor(version, width),
        "encoder": VideoEncoderConfigurator.from_config(config),
        "decoder": VideoDecoderConfigurator.from_config(config),
        "audio_encoder": AudioEncoderConfigurator.from_config(config),
        "audio_decoder": AudioDecoderConfigurator.from_config(config),
        "vocoder": VocoderConfigurator.from_config(config),
    }


def text_processor(version: str, width: str) -> EmbeddingsProcessor:
    """Projections and connectors. ltx-core ties their width to Gemma's; here it is the config's."""
    config = config_of(version, width)
    sizes = config["transformer"]
    caption, flat = sizes["caption_channels"], sizes["caption_channels"] * STATES[width]
    if version == "2.0":
        extractor: nn.Module = FeatureExtractorV1(nn.Linear(flat, caption, bias=False), is_av=True)
    else:
        video = sizes["num_attention_heads"] * sizes["attention_head_dim"]
        audio = sizes["audio_num_attention_heads"] * sizes["audio_attention_head_dim"]
        extractor = FeatureExtractorV2(nn.Linear(flat, video), caption, nn.Linear(flat, audio))
    return EmbeddingsProcessor(
        feature_extractor=extractor,
        video_connector=Embeddings1DConnectorConfigurator.from_config(config),
        audio_connector=AudioEmbeddings1DConnectorConfigurator.from_config(config),
    )


def key_of(part: str, name: str) -> str:
    """What a published file calls a tensor of a part."""
    if part == "text":
        start = next(start for start in TEXT if name.startswith(start))
        return TEXT[start] + name.removeprefix(start)
    if name.startswith("per_channel_statistics."):
        return ("audio_vae." if part.startswith("audio") else "vae.") + name
    return PREFIXES[part] + name


def write_file(version: str, path: Path) -> dict[str, Any]:
    """One narrow single file, float32; returns ltx-core's modules with the same weights."""
    generator = torch.Generator().manual_seed(7)
    parts, tensors = modules(version), {}
    for part, module in parts.items():
        state = {}
        for name, tensor in module.state_dict().items():
            key = key_of(part, name)
            if key not in tensors:
                tensors[key] = drawn(name, tensor, generator)
            state[name] = tensors[key]
        module.load_state_dict(state, strict=True, assign=True)
        module.eval().requires_grad_(False)
    metadata = {"config": json.dumps(config_of(version, "narrow")), "model_version": f"{version}.0"}
    save_file(tensors, path, metadata=metadata)
    return parts


def merge_lora(transformer: nn.Module, path: Path, strength: float) -> None:
    """ltx-core's own reading of a LoRA and its own deltas, in float32: it merges into bfloat16 alone."""
    read = SafetensorsModelStateDictLoader().load([str(path)], sd_ops=LTXV_LORA_COMFY_RENAMING_MAP)
    lora = [LoraStateDictWithStrength(read, strength)]
    merged = set()
    for name, weight in transformer.named_parameters():
        delta = _prepare_deltas(lora, name, torch.float32, torch.device("cpu"))
        if delta is not None:
            weight.data += delta
            merged.add(name.removesuffix(".weight"))
    assert {name.rsplit(".lora_")[0] for name in read.sd} == merged


def drawn(name: str, tensor: Tensor, generator: torch.Generator) -> Tensor:
    """Random weights that keep the size of activations. Filters stay what they are: they are computed."""
    if name.endswith(".filter"):
        return tensor.clone()
    noise = torch.randn(tensor.shape, generator=generator)
    if "std-of-means" in name:
        return 0.7 + 0.1 * noise.abs()
    if tensor.ndim > 1:
        return noise * tensor[0].numel() ** -0.5
    return (1.0 if "norm" in name and name.endswith("weight") else 0.0) + 0.05 * noise
