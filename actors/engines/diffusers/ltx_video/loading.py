"""Model files -> modules. The bundled tiny model and real LTX-Video checkpoints take the same way."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from actors.engines.diffusers.checkpoint import Checkpoint, Component, open_component
from actors.engines.diffusers.codec import DECODE_NOISE, DECODE_TIMESTEP, VideoCodec
from actors.engines.diffusers.configs import UnsupportedCheckpoint
from actors.engines.diffusers.files import ModelFiles, component_folder
from actors.engines.diffusers.fused import fp8
from actors.engines.diffusers.ltx_video import attention, lora
from actors.engines.diffusers.ltx_video.checkpoint import (
    transformer_component,
    upsampler_component,
    vae_component,
)
from actors.engines.diffusers.ltx_video.text import PromptEncoder, T5Prompts, TinyPrompts
from actors.engines.diffusers.streamed import stream_blocks
from actors.models.tiny_text import TinyTextEncoder
from actors.models.tiny_words import TinyTokenizer
from jobs.errors import Problem, SpecError
from jobs.weights.header import read_weights
from jobs.weights.use import PARTS, misuse

CPU = torch.device("cpu")

log = logging.getLogger(__name__)

FIELD_OF = {part: field for field, part in PARTS.items()}


@dataclass(frozen=True)
class Denoising:
    """A transformer ready to sample: attention and feed-forward under the farm's control, `loras` to be
    merged for the pass that runs.

    `causal` tells whether the first latent counts as one frame in its rotary coordinates.
    """

    transformer: Any
    attention: attention.AttentionState
    causal: bool
    loras: lora.MergedLoras

    def to(self, device: torch.device) -> None:
        self.transformer.to(device)

    def stream(self, device: torch.device) -> None:
        stream_blocks(self.transformer.transformer_blocks, device)


@dataclass(frozen=True)
class Loader:
    """Loads components one by one, so that a worker holds only what its stages need."""

    files: ModelFiles
    dtype: torch.dtype
    device: torch.device = CPU
    """What merges LoRAs into weights, and rounds them."""
    fp8: bool = False
    """Whether the weights of the transformer's blocks are rounded to fp8."""

    def denoising(self) -> Denoising:
        """The transformer."""
        component = self.transformer()
        causal = self.files.counts_causally()
        opened = partial(lora.open_lora, model=component.shapes())
        again = partial(component.again, dtype=self.dtype)
        transformer = self._loaded(component, self.dtype)
        if self.fp8:
            fp8.pack(transformer, self.device, component.fp8_scales())
        merged = lora.MergedLoras(transformer, self.files.loras, opened, again, device=self.device)
        state = attention.install(transformer)
        return Denoising(transformer, state, causal, merged)

    def codec(self) -> VideoCodec:
        """The video VAE."""
        # Half precision overflows in the decoder; bfloat16 does not.
        dtype = torch.float32 if self.dtype == torch.float16 else self.dtype
        component = self.vae()
        config = component.checkpoint.configs.get("vae", {})
        return VideoCodec(
            self._loaded(component, dtype),
            config.get("decode_timestep", DECODE_TIMESTEP),
            config.get("decode_noise_scale", DECODE_NOISE),
        )

    def prompts(self) -> PromptEncoder:
        """The prompt encoder: the checkpoint's own, or T5."""
        if self.files.text_encoder:
            return T5Prompts.load(self.files.text_encoder, self.dtype)
        if self.files.checkpoint.is_dir():
            return T5Prompts.load(self.files.checkpoint, self.dtype)
        opened = _supported("engine.checkpoint", lambda: Checkpoint.open(self.files.checkpoint))
        if not opened.has("text_encoder"):
            raise SpecError([_needed("engine.text_encoder", "this checkpoint carries no text encoder")])
        config = opened.configs["text_encoder"]
        encoder = TinyTextEncoder.from_config(config)
        encoder.load_state_dict(opened.state("text_encoder."))
        encoder.float().eval().requires_grad_(False)
        return TinyPrompts(TinyTokenizer.from_config(config), encoder)

    def upsampler(self) -> Any:
        """The 2x latent upsampler. Raises `SpecError` where none is named."""
        return self._loaded(self.latent_upsampler(), self.dtype)

    def misfits(self) -> list[Problem]:
        """What keeps the files from being loaded, as far as their headers show; no tensor is read."""
        problems: list[Problem] = []
        makers = [self.transformer, self.vae]
        if self.files.upscale_model:
            makers.append(self.latent_upsampler)
        for make in makers:
            try:
                component = make()
                _supported(self._place(component.what), component.empty)
                if component.what == "transformer":
                    self.files.counts_causally()
                    for path, _ in self.files.loras:
                        lora.open_lora(path, lora.OF_THE_JOB, component.shapes())
            except SpecError as error:
                problems += error.problems
        return problems

    def transformer(self) -> Component:
        """The transformer, not loaded yet. Raises `SpecError` where the named file holds none."""
        return self._component("transformer", self.files.transformer, transformer_component)

    def vae(self) -> Component:
        """As `transformer`, of the video VAE."""
        return self._component("vae", self.files.video_vae, vae_component)

    def latent_upsampler(self) -> Component:
        """As `transformer`, of the latent upsampler."""
        named = self.files.upscale_model
        if named is None and not self._carries("latent_upsampler"):
            rule = "this checkpoint carries no latent upsampler"
            raise SpecError([_needed("engine.upscale_model", rule)])
        path = component_folder(named or self.files.checkpoint, "latent_upsampler")
        return self._component("latent_upsampler", path, upsampler_component)

    def _component(self, what: str, path: Path, make: Callable[[Checkpoint], Component]) -> Component:
        place = self._place(what)
        wrong = misuse(path, FIELD_OF[what], "diffusers")
        if wrong is not None:
            raise SpecError([Problem(place, path.name, wrong.rule, wrong.remedy)])
        return _supported(place, lambda: open_component(path, what, make))

    def _carries(self, part: str) -> bool:
        checkpoint = self.files.checkpoint
        return checkpoint.is_file() and part in read_weights(checkpoint).config

    def _loaded(self, component: Component, dtype: torch.dtype) -> Any:
        return _supported(self._place(component.what), lambda: component.load(dtype))

    def _place(self, what: str) -> str:
        """The field of the spec that names the file of a component."""
        return {
            "transformer": "engine.diffusion_model" if self.files.diffusion_model else "engine.checkpoint",
            "vae": "engine.vae" if self.files.vae else "engine.checkpoint",
            "latent_upsampler": "engine.upscale_model",
        }[what]


def _supported(place: str, load: Callable[[], Any]) -> Any:
    try:
        return load()
    except UnsupportedCheckpoint as error:
        raise SpecError([_needed(place, str(error))]) from error


def _needed(place: str, rule: str) -> Problem:
    return Problem(place=place, value="this model", rule=rule, remedy=f"set `{place}` to one that fits")
