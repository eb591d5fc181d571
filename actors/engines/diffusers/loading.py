"""Model files -> modules. The bundled tiny model and real LTX-Video checkpoints take the same way."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from actors.engines.diffusers import attention, checkpoint, feedforward, lora
from actors.engines.diffusers.architecture import UnsupportedCheckpoint
from actors.engines.diffusers.checkpoint import Checkpoint
from actors.engines.diffusers.codec import DECODE_NOISE, DECODE_TIMESTEP, VideoCodec
from actors.engines.diffusers.files import ModelFiles
from actors.engines.diffusers.text import PromptEncoder, T5Prompts, TinyPrompts
from actors.models.tiny_text import TinyTextEncoder
from actors.models.tiny_words import TinyTokenizer
from jobs.errors import Problem, SpecError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Denoising:
    """A transformer ready to sample: LoRAs merged, attention and feed-forward under the farm's control.

    `causal` tells whether the first latent counts as one frame in its rotary coordinates.
    """

    transformer: Any
    attention: attention.AttentionState
    causal: bool

    def to(self, device: torch.device) -> None:
        self.transformer.to(device)


@dataclass(frozen=True)
class VaeFile(Checkpoint):
    """A single file that holds a video VAE alone, with or without the `vae.` prefix."""

    @classmethod
    def open(cls, path: Path) -> VaeFile:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
        return cls(path, json.loads(metadata.get("config", "{}")))

    def state(self, prefix: str) -> dict[str, torch.Tensor]:
        return super().state(prefix) or super().state("")


@dataclass(frozen=True)
class Loader:
    """Loads components one by one, so that a worker holds only what its stages need."""

    files: ModelFiles
    dtype: torch.dtype

    def denoising(self) -> Denoising:
        """The transformer."""
        opened = self._opened()
        if opened:
            transformer = _supported(lambda: checkpoint.load_transformer(opened, self.dtype))
            causal = bool(opened.configs.get("transformer", {}).get("causal_temporal_positioning", False))
        else:
            from diffusers.models.transformers.transformer_ltx import LTXVideoTransformer3DModel

            transformer = self._pretrained(LTXVideoTransformer3DModel, self.files.folder("transformer"))
            causal = self.files.counts_causally()
        for path, strength in self.files.loras:
            layers = lora.merge(transformer, path, strength)
            log.info("LoRA %s: %d layers at strength %g", path.name, layers, strength)
        state = attention.install(transformer)
        feedforward.install(transformer)
        return Denoising(transformer, state, causal)

    def codec(self) -> VideoCodec:
        """The video VAE."""
        # Half precision overflows in the decoder; bfloat16 does not.
        dtype = torch.float32 if self.dtype == torch.float16 else self.dtype
        opened = self._opened()
        if self.files.vae and self.files.vae.is_dir():
            return VideoCodec(self._pretrained_vae(self.files.vae, dtype))
        if self.files.vae or opened:
            source = VaeFile.open(self.files.vae) if self.files.vae else opened
            assert source is not None
            vae = _supported(lambda: checkpoint.load_vae(source, dtype))
            config = source.configs.get("vae", {})
            return VideoCodec(
                vae,
                config.get("decode_timestep", DECODE_TIMESTEP),
                config.get("decode_noise_scale", DECODE_NOISE),
            )
        return VideoCodec(self._pretrained_vae(self.files.checkpoint, dtype))

    def prompts(self) -> PromptEncoder:
        """The prompt encoder: the checkpoint's own, or T5."""
        opened = self._opened()
        if self.files.text_encoder:
            return T5Prompts.load(self.files.text_encoder, self.dtype)
        if not opened:
            return T5Prompts.load(self.files.checkpoint, self.dtype)
        if not opened.has("text_encoder"):
            raise SpecError([_needed("engine.text_encoder", "this checkpoint carries no text encoder")])
        config = opened.configs["text_encoder"]
        encoder = TinyTextEncoder.from_config(config)
        encoder.load_state_dict(opened.state("text_encoder."))
        encoder.float().eval().requires_grad_(False)
        return TinyPrompts(TinyTokenizer.from_config(config), encoder)

    def upsampler(self) -> Any:
        """The 2x latent upsampler. Raises `SpecError` where none is named."""
        named, opened = self.files.upscale_model, self._opened()
        if named and named.is_file():
            return _supported(lambda: checkpoint.load_upsampler_file(named, self.dtype))
        if named:
            from diffusers.pipelines.ltx.modeling_latent_upsampler import LTXLatentUpsamplerModel

            below = named / "latent_upsampler"
            return self._pretrained(LTXLatentUpsamplerModel, below if below.is_dir() else named)
        if opened and opened.has("latent_upsampler"):
            return checkpoint.load_upsampler(opened, self.dtype)
        raise SpecError([_needed("engine.upscale_model", "this checkpoint carries no latent upsampler")])

    def _opened(self) -> Checkpoint | None:
        """The single file, opened; None for a folder."""
        if not self.files.is_single_file:
            return None
        return _supported(lambda: Checkpoint.open(self.files.checkpoint))

    def _pretrained_vae(self, folder: Path, dtype: torch.dtype) -> Any:
        from diffusers.models.autoencoders.autoencoder_kl_ltx import AutoencoderKLLTXVideo

        below = folder / "vae"
        return self._pretrained(AutoencoderKLLTXVideo, below if below.is_dir() else folder, dtype)

    def _pretrained(self, kind: Any, folder: Path, dtype: torch.dtype | None = None) -> Any:
        model = kind.from_pretrained(folder, torch_dtype=dtype or self.dtype, use_safetensors=True)
        return model.eval().requires_grad_(False)


def _supported(load: Callable[[], Any]) -> Any:
    try:
        return load()
    except UnsupportedCheckpoint as error:
        raise SpecError([_needed("engine.checkpoint", str(error))]) from error


def _needed(place: str, rule: str) -> Problem:
    return Problem(place=place, value="this model", rule=rule, remedy=f"set `{place}` to one that fits")
