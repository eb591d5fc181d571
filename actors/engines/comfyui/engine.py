"""ComfyUI's core as a farm engine: the very functions the nodes call, with models kept resident."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from actors.engines.base import AUDIO, GIVEN, FramesElsewhere, FreeLevel
from actors.engines.comfyui.audio import (
    Kept,
    decode_track,
    encode_track,
    generated_track,
    heard_track,
    hears,
    stereo,
)
from actors.engines.comfyui.core.boot import BootOptions, boot
from actors.engines.comfyui.core.nodes import Core
from actors.engines.comfyui.core.vram import free_vram, load_piecewise
from actors.engines.comfyui.decode import decode_images, decode_tiles, decoding, to_frames, to_image
from actors.engines.comfyui.describe import fingerprint, sources
from actors.engines.comfyui.loading.loaded import Loaded
from actors.engines.comfyui.loading.loaders import ComfyModelFiles
from actors.engines.comfyui.sampling.attention import job_kernel
from actors.engines.comfyui.sampling.denoise import Clip, Recipe, Track, empty_clip, sample_clip
from actors.engines.comfyui.sampling.guides import Guide
from actors.engines.comfyui.sampling.recipes import guided_model, recipe_of, sampler_names
from actors.engines.comfyui.text import pack_pair, unpack_pair
from actors.engines.comfyui.upscale import upsample
from actors.engines.latents import DecodeSettings, with_statistics_of
from actors.payload import Payload, from_torch, to_torch
from jobs.errors import CannotRun, InvalidInput
from jobs.file_digests import digest_ahead
from jobs.frames import frames_of
from jobs.spec.engine import COMFYUI_PATH
from jobs.tasks.graph import resamples

if TYPE_CHECKING:
    from jobs.planning.params import (
        DecodeParams,
        EncodeAudio,
        EncodeImage,
        EncodeSource,
        EncodeText,
        SampleParams,
        UpscaleParams,
    )
    from jobs.spec.engine import EngineConfig
    from jobs.tasks.task import Stage


class ComfyEngine:
    """Implements `Engine` on one ComfyUI checkout, named by --comfyui or COMFYUI_PATH."""

    name = "comfyui"

    def __init__(self, config: EngineConfig, device: str, threads: int) -> None:
        self.config = config
        self.device = device
        self.threads = threads

    def setup(self, stages: frozenset[Stage]) -> None:
        """Start ComfyUI and load what the stages need. Raises CannotRun or MissingCoreApi."""
        with torch.inference_mode():
            self.loaded.load(stages)

    @cached_property
    def loaded(self) -> Loaded:
        """The core, started, and the job's models; each is loaded when it is first used."""
        if self.device.startswith("cuda"):
            # Read once, when the first CUDA context is made; without it cuBLAS may sum in any order.
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        root = self.config.comfyui
        if not root:
            raise CannotRun(f"engine comfyui: none is named: give --comfyui FOLDER or set {COMFYUI_PATH}.")
        boot(BootOptions(Path(root), self.device))
        core = Core.current()
        core.require("sampling")
        torch.set_num_threads(self.threads)
        files = ComfyModelFiles.locate(self.config)
        digest_ahead(files.paths())
        return Loaded(core, files, self.config.dtype)

    def fingerprint(self) -> dict[str, Any]:
        """Entries named like a stage concern that stage alone."""
        described = fingerprint(self.loaded.core, self.loaded.files, self.config.dtype, self.device)
        return {**described, "threads": self.threads}

    def modes(self) -> dict[str, str]:
        return {"attention_mode": self.attention_kernel}

    def sources(self) -> dict[str, dict[str, str]]:
        return sources(self.loaded.files)

    def samplers(self) -> tuple[str, ...]:
        """The names of this core; they differ between versions."""
        return sampler_names()

    @cached_property
    def attention_kernel(self) -> str:
        """What `auto` means for the whole job: one kernel, so that no clip depends on which worker has it."""
        return job_kernel(self.loaded.files.transformer, self.device, self.config.dtype)

    def encode_text(self, params: EncodeText) -> Payload:
        with torch.inference_mode():
            text = self.loaded.text
            return pack_pair((text.conditioning(params.prompt), text.conditioning(params.negative)))

    def encode_image(self, params: EncodeImage, pixels: np.ndarray) -> Payload:
        return self._encode_pixels(pixels[None])

    def encode_video(self, params: EncodeSource, frames: np.ndarray) -> Payload:
        return self._encode_pixels(frames)

    def _encode_pixels(self, frames: np.ndarray) -> Payload:
        with torch.inference_mode():
            return _packed({"latents": self.loaded.vae.encode(to_image(frames))})

    def encode_audio(self, params: EncodeAudio, samples: np.ndarray) -> Payload:
        audio = {
            "waveform": stereo(torch.from_numpy(np.array(samples))[None]),
            "sample_rate": params.sample_rate,
        }
        with torch.inference_mode():
            vae = self.loaded.audio_vae
            latents = encode_track(self.loaded.core, vae, audio, params.frames, params.frame_rate)
            return _packed({AUDIO: latents})

    def sample(
        self,
        params: SampleParams,
        conditioning: Payload,
        guides: list[Payload],
        tail: Payload | None,
        audio: Payload | None,
    ) -> Payload:
        core = self.loaded.core
        with torch.inference_mode():
            clip = sample_clip(
                core,
                guided_model(core, self.loaded.model, params.sampling.guider),
                unpack_pair(conditioning),
                empty_clip(core, params.width, params.height, params.span.sampled),
                self._recipe(params),
                guides=[*_overlap(tail, params.overlap_strength), *_images(params, guides)],
                track=self._track(params, tail, audio),
            )
            return _packed_clip(clip, params.audio_mode == "condition")

    def upscale(
        self,
        params: UpscaleParams,
        latents: Payload,
        conditioning: Payload | None,
        guides: list[Payload],
        tail: Payload | None,
    ) -> Payload:
        core = self.loaded.core
        with torch.inference_mode():
            before = to_torch(latents, "latents")
            start = upsample(core, self.loaded.upscale_model, self.loaded.vae, before)
            start = with_statistics_of(before.to(start), start, params.adain)
            if conditioning is None or not resamples(params.sampling):
                sound = to_torch(latents, AUDIO) if AUDIO in latents else None
                return _packed_clip(Clip(start, sound), GIVEN in latents.meta)
            clip = sample_clip(
                core,
                guided_model(core, self.loaded.model, params.sampling.guider),
                unpack_pair(conditioning),
                start,
                self._recipe(params),
                guides=[*_overlap(tail, params.overlap_strength), *_images(params, guides)],
                track=self._second_track(params, latents, tail),
            )
            return _packed_clip(clip, GIVEN in latents.meta)

    def decode(self, params: DecodeParams, latents: Payload) -> np.ndarray | FramesElsewhere:
        vae, clip = self.loaded.vae, to_torch(latents, "latents")
        with torch.inference_mode(), decoding(vae, clip, DecodeSettings.of(params)) as prepared:
            if params.tiling is not None:
                return decode_tiles(vae, prepared, params.tiling)
            return to_frames(decode_images(vae, prepared))

    def decode_audio(self, params: DecodeParams, latents: Payload) -> tuple[np.ndarray, int]:
        """A clip's generated sound: float32 `[2, samples]` and its rate."""
        with torch.inference_mode():
            audio = decode_track(self.loaded.core, self.loaded.audio_vae, to_torch(latents, AUDIO))
            return stereo(audio["waveform"])[0].float().cpu().numpy(), int(audio["sample_rate"])

    def free(self, level: FreeLevel) -> None:
        if level == "cache":
            import comfy.model_management

            comfy.model_management.soft_empty_cache()
            return
        if level == "offload":
            load_piecewise()
        free_vram()

    def close(self) -> None:
        if "loaded" in vars(self):
            del self.loaded
            free_vram()

    def _recipe(self, params: SampleParams | UpscaleParams) -> Recipe:
        if params.attention_mode == "auto":
            params = replace(params, attention_mode=self.attention_kernel)
        return recipe_of(self.loaded.core, params)

    def _track(self, params: SampleParams, tail: Payload | None, audio: Payload | None) -> Track | None:
        if params.audio_mode is not None and not hears(self.loaded.model):
            raise InvalidInput("the job has sound and the model has no audio side: use an LTX-2 checkpoint.")
        if params.audio_mode == "condition":
            return None if audio is None else heard_track(to_torch(audio, AUDIO))
        if params.audio_mode is None:
            return None
        return self._made_track(params, tail)

    def _second_track(self, params: UpscaleParams, latents: Payload, tail: Payload | None) -> Track | None:
        """The sound of the first pass: made anew from it where it was made and its chunks are chained."""
        if AUDIO not in latents:
            return None
        sound = to_torch(latents, AUDIO)
        if GIVEN in latents.meta or not params.guided:
            return heard_track(sound)
        return self._made_track(params, tail, sound)

    def _made_track(
        self, params: SampleParams | UpscaleParams, tail: Payload | None, start: torch.Tensor | None = None
    ) -> Track:
        frames, overlap = frames_of(params.span.sampled), frames_of(params.span.overlap)
        kept = Kept(to_torch(tail, AUDIO), overlap) if tail is not None and AUDIO in tail else None
        core, vae = self.loaded.core, self.loaded.audio_vae
        return generated_track(core, vae, frames, params.frame_rate, kept, start)


def _overlap(tail: Payload | None, strength: float) -> list[Guide]:
    return [] if tail is None else [Guide.overlap(to_torch(tail, "latents"), strength)]


def _images(params: SampleParams | UpscaleParams, guides: list[Payload]) -> list[Guide]:
    return [
        Guide.image(to_torch(payload, "latents"), use.frame, use.strength, use.image_strength)
        for use, payload in zip(params.guides, guides, strict=True)
    ]


def _packed_clip(clip: Clip, given: bool) -> Payload:
    """`given`: its sound was not made."""
    if clip.audio is None:
        return _packed({"latents": clip.video})
    packed = _packed({"latents": clip.video, AUDIO: clip.audio})
    return Payload(packed.arrays, {**packed.meta, GIVEN: "yes"}) if given else packed


def _packed(tensors: dict[str, torch.Tensor]) -> Payload:
    return from_torch({name: tensor.float() for name, tensor in tensors.items()})
