"""LTX-2 model files -> models that are ready to run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from actors.engines.diffusers.checkpoint import Checkpoint, Component, open_component
from actors.engines.diffusers.configs import UnsupportedCheckpoint
from actors.engines.diffusers.files import ModelFiles, component_folder
from actors.engines.diffusers.fused import fp8
from actors.engines.diffusers.ltx2 import block, components
from actors.engines.diffusers.ltx2.denoise import Transformer
from actors.engines.diffusers.ltx2.names import TRANSFORMER, renamed
from actors.engines.diffusers.ltx2.pixels.component import pixel_vae_component
from actors.engines.diffusers.ltx2.pixels.vae import codec_of
from actors.engines.diffusers.ltx2.sound.codec import SoundCodec
from actors.engines.diffusers.ltx2.text import GemmaStates, Prompts, States, TinyStates
from actors.engines.diffusers.ltx2.together import Together
from actors.engines.diffusers.ltx2.vae_model import is_ltx2_vae
from actors.engines.diffusers.ltx_video import checkpoint, lora
from actors.models.tiny_text import TinyTextEncoder
from actors.models.tiny_words import TinyTokenizer
from jobs.errors import Problem, SpecError
from jobs.weights.describe import has_pixel_decoder, transformer_prefix, vae_prefix
from jobs.weights.header import Tensor, component_config

if TYPE_CHECKING:
    from actors.engines.diffusers.codec import VideoCodec

CPU = torch.device("cpu")

Make = Callable[[Checkpoint], Component]


@dataclass(frozen=True)
class Ltx2Loader:
    """Loads components one by one, so that a worker holds only what its stages need."""

    files: ModelFiles
    dtype: torch.dtype
    device: torch.device = CPU
    fp8: bool = False
    """Both as of `Loader`."""

    def denoising(self) -> Transformer:
        """The transformer, its LoRAs to be merged for the pass that runs."""
        component = self._component("transformer", self.files.transformer, components.transformer_component)
        opened = partial(lora.open_lora, model=_published(component))
        again = partial(component.again, dtype=self.dtype)
        module = self._loaded("transformer", component, self.dtype)
        if self.fp8:
            fp8.pack(module, self.device, component.fp8_scales())
        named = partial(renamed, segments=TRANSFORMER)
        merged = lora.MergedLoras(module, self.files.loras, opened, again, named, self.device)
        marks = bool(module.config.use_keyframes_abs_pos_embedding)
        return Transformer(module, block.install(module), merged, clean_frozen_sound=marks)

    def codec(self) -> VideoCodec:
        """The video VAE."""
        component = self._component("vae", self.files.video_vae, _vae_component)
        return codec_of(self._loaded("vae", component, _half_safe(self.dtype)))

    def sound(self) -> SoundCodec:
        """The audio VAE and the vocoder, in float32: a whole minute is a fraction of a second's work."""
        parts = [
            self._loaded(name, self._component(name, path, make), torch.float32)
            for name, path, make in (
                ("audio_vae", self.files.sound("audio_vae"), components.audio_vae_component),
                ("vocoder", self.files.sound("vocoder"), components.vocoder_component),
            )
        ]
        return SoundCodec(*parts)

    def prompts(self) -> Prompts:
        """The text encoder and the connectors."""
        return Prompts(self._states(), self._loaded("connectors", self._connectors(), self.dtype))

    def _connectors(self) -> Component:
        paths = self.files.connectors
        return self._supported(
            "connectors", lambda: components.connectors_component(Together.open_all(paths))
        )

    def upsampler(self) -> Any:
        """The latent upsampler in space. Raises `SpecError` where none is named."""
        return self._upsampler("upsampler", self.files.upscale_model, "latent_upsampler")

    def temporal_upsampler(self) -> Any:
        """The one in time, likewise."""
        return self._upsampler(
            "temporal_upsampler", self.files.temporal_upscale_model, "temporal_latent_upsampler"
        )

    def _upsampler(self, what: str, named: Path | None, part: str) -> Any:
        path = named or self.files.checkpoint
        if named is not None and path.is_dir():
            path = component_folder(path, part)
        make = partial(components.upsampler_component, what=part)
        return self._loaded(what, self._component(what, path, make), self.dtype)

    def misfits(self) -> list[Problem]:
        """What keeps the files from being loaded, as far as their headers show; no tensor is read."""
        problems: list[Problem] = []
        parts: list[tuple[str, Path, Make]] = [
            ("transformer", self.files.transformer, components.transformer_component),
            ("vae", self.files.video_vae, _vae_component),
            ("audio_vae", self.files.sound("audio_vae"), components.audio_vae_component),
            ("vocoder", self.files.sound("vocoder"), components.vocoder_component),
        ]
        if self.files.upscale_model:
            parts.append(("upsampler", self.files.upscale_model, components.upsampler_component))
        if self.files.temporal_upscale_model:
            path = self.files.temporal_upscale_model
            parts.append(("temporal_upsampler", path, components.temporal_upsampler_component))
        found: list[tuple[str, Callable[[], Component]]] = [
            (what, partial(self._component, what, path, make)) for what, path, make in parts
        ]
        for what, opened in [*found, ("connectors", self._connectors)]:
            try:
                component = opened()
                self._supported(what, component.empty)
                if what == "transformer":
                    for path, _ in self.files.loras:
                        lora.open_lora(path, lora.OF_THE_JOB, _published(component))
            except SpecError as error:
                problems += error.problems
        return problems

    def _states(self) -> States:
        if self.files.text_encoder:
            return GemmaStates.load(self.files.text_encoder, self.dtype)
        if self.files.checkpoint.is_dir():
            return GemmaStates.load(self.files.checkpoint, self.dtype)
        opened = self._supported("text_encoder", lambda: Checkpoint.open(self.files.checkpoint))
        if not opened.has("text_encoder"):
            raise SpecError([_needed("engine.text_encoder", "this checkpoint carries no text encoder")])
        config = opened.configs["text_encoder"]
        encoder = TinyTextEncoder.from_config(config)
        encoder.load_state_dict(opened.state("text_encoder."))
        encoder.float().eval().requires_grad_(False)
        return TinyStates(TinyTokenizer.from_config(config), encoder)

    def _component(self, what: str, path: Path, make: Make) -> Component:
        return self._supported(what, lambda: open_component(path, what, make))

    def _loaded(self, what: str, component: Component, dtype: torch.dtype) -> Any:
        return self._supported(what, lambda: component.load(dtype))

    def _supported(self, what: str, load: Callable[[], Any]) -> Any:
        try:
            return load()
        except UnsupportedCheckpoint as error:
            raise SpecError([_needed(self._place(what), str(error))]) from error

    def _place(self, what: str) -> str:
        """The field of the spec that names the file of a component."""
        files = self.files
        return {
            "transformer": "engine.diffusion_model" if files.diffusion_model else "engine.checkpoint",
            "vae": "engine.vae" if files.vae else "engine.checkpoint",
            "audio_vae": "engine.audio_vae",
            "vocoder": "engine.audio_vae",
            "connectors": "engine.checkpoint",
            "text_encoder": "engine.text_encoder",
            "upsampler": "engine.upscale_model",
            "temporal_upsampler": "engine.temporal_upscale_model",
        }[what]


def _published(transformer: Component) -> dict[str, Tensor]:
    """The tensors of the file by their published names, which those of LoRAs are matched with."""
    prefix = transformer_prefix(transformer.checkpoint.weights) or ""
    found = transformer.checkpoint.weights.tensors
    return {key.removeprefix(prefix): found[key] for key in transformer.stored.values()}


def _vae_component(opened: Checkpoint) -> Component:
    """LTX-2's own VAE with either decoder, or one of LTX-Video, which a small model may have."""
    if has_pixel_decoder(opened.weights):
        return pixel_vae_component(opened)
    if opened.path.is_dir():
        own = component_config(opened.path).get("_class_name") == "AutoencoderKLLTX2Video"
    else:
        prefix = vae_prefix(opened.weights)
        own = prefix is None or is_ltx2_vae(opened.weights.below(prefix))
    return (components.vae_component if own else checkpoint.vae_component)(opened)


def _half_safe(dtype: torch.dtype) -> torch.dtype:
    """Half precision overflows in the decoder; bfloat16 does not."""
    return torch.float32 if dtype == torch.float16 else dtype


def _needed(place: str, rule: str) -> Problem:
    return Problem(place=place, value="this model", rule=rule, remedy=f"set `{place}` to one that fits")
