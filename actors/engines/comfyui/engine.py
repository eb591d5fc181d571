"""ComfyUI's core as a farm engine: the very functions the nodes call, with models kept resident."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from actors.engines.base import AUDIO, FramesElsewhere, FreeLevel
from actors.engines.comfyui.audio import (
    Kept,
    audio_format,
    decode_track,
    encode_track,
    generated_track,
    heard_track,
    stereo,
)
from actors.engines.comfyui.core.boot import BootOptions, boot
from actors.engines.comfyui.core.nodes import Core
from actors.engines.comfyui.core.vram import free_vram, load_piecewise
from actors.engines.comfyui.decode import decode_images, decode_tiles, decoding, to_frames, to_image, to_uint8
from actors.engines.comfyui.describe import fingerprint, sources
from actors.engines.comfyui.loading.loaded import Loaded
from actors.engines.comfyui.loading.loaders import ComfyModelFiles
from actors.engines.comfyui.loading.model_kind import hears, is_audio_video
from actors.engines.comfyui.sampling.attention import job_kernel
from actors.engines.comfyui.sampling.denoise import Settings, Track, empty_clip, sample_clip
from actors.engines.comfyui.sampling.guidance import has_guiders
from actors.engines.comfyui.sampling.noise import Shot
from actors.engines.comfyui.sampling.settings import guider_params, sampler_names, settings_of
from actors.engines.comfyui.text import pack_pair, unpack_pair
from actors.engines.comfyui.upscale import upsample
from actors.engines.latents import DecodeSettings, lasting, opened, with_statistics_of
from actors.engines.noise import ShotNoise
from actors.payload import Payload, from_torch, to_torch
from jobs.errors import CannotRun, InvalidInput
from jobs.frames import frames_of
from jobs.spec.engine import COMFYUI_PATH

if TYPE_CHECKING:
    from actors.engines.pieces import PassSound, Piece
    from jobs.planning.params import (
        DecodeParams,
        EncodeAudio,
        EncodeClip,
        EncodeImage,
        EncodeSource,
        EncodeText,
        PassParams,
        Upsampling,
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

    def paths(self) -> Sequence[Path]:
        return self.loaded.files.paths()

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
        return Loaded(core, ComfyModelFiles.locate(self.config), self.config.dtype)

    def fingerprint(self) -> dict[str, Any]:
        """Entries named like a stage concern that stage alone."""
        described = fingerprint(self.loaded.core, self.loaded.files, self.config.dtype, self.device)
        guiders = {"guiders": "core's"} if has_guiders(self.loaded.core, self._has_sound) else {}
        return {**described, "threads": self.threads, **guiders}

    def modes(self) -> dict[str, str]:
        return {"attention_mode": self.attention_kernel}

    def sources(self) -> dict[str, dict[str, str]]:
        return sources(self.loaded.files)

    def samplers(self) -> tuple[str, ...]:
        """The names of this core; they differ between versions."""
        return sampler_names()

    def guiders(self) -> Mapping[str, tuple[str, ...]]:
        """Those of this core for the job's model."""
        return guider_params(self.loaded.core, self._has_sound)

    @property
    def _has_sound(self) -> bool:
        return is_audio_video(self.loaded.files.transformer)

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

    def encode_video(self, params: EncodeSource | EncodeClip, frames: np.ndarray) -> Payload:
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

    def upsample(self, latents: Payload, how: Upsampling) -> Payload:
        with torch.inference_mode():
            before = to_torch(latents, "latents")
            larger = upsample(self.loaded.core, self.loaded.upscale_model, self.loaded.vae, before)
            return _packed({"latents": with_statistics_of(before.to(larger), larger, how.adain)})

    def still(self, latents: Payload, frame: int, how: Upsampling) -> Payload:
        larger = self.upsample(latents, how)
        with torch.inference_mode():
            vae = self.loaded.vae
            frames = to_uint8(decode_images(vae, to_torch(larger, "latents"))[frame : frame + 1])
        return self._encode_pixels(frames.cpu().numpy())

    def denoise(
        self, run: PassParams, pieces: Sequence[Piece], sound: PassSound, conditioning: Payload
    ) -> Payload:
        core = self.loaded.core
        start, *held = pieces
        with torch.inference_mode():
            guides = [replace(piece, latents=to_torch(piece.latents, "latents")) for piece in held]
            if start.latents is None:
                clip = empty_clip(core, run.width, run.height, run.span.sampled)
            else:
                clip = opened(run, to_torch(start.latents, "latents"), guides)
            made = sample_clip(
                core,
                self.loaded.model,
                unpack_pair(conditioning),
                clip,
                self._settings(run, clip),
                guides=guides,
                track=self._track(run, sound),
            )
            heard = {} if made.audio is None else {AUDIO: made.audio}
            return _packed({"latents": made.video, **heard})

    def decode(self, params: DecodeParams, latents: Payload) -> np.ndarray | FramesElsewhere:
        vae, clip, first = self.loaded.vae, to_torch(latents, "latents"), params.window.context.start
        with torch.inference_mode(), decoding(vae, clip, DecodeSettings.of(params)) as prepared:
            if params.tiling is not None:
                return decode_tiles(vae, prepared, params.tiling, first)
            return to_frames(decode_images(vae, prepared, first))

    def decode_sound(self, params: DecodeParams, latents: Payload) -> tuple[np.ndarray, int]:
        """A clip's generated sound: float32 `[2, samples]` and its rate."""
        seconds = frames_of(len(params.sound or ())) / params.frame_rate
        with torch.inference_mode():
            sound = lasting(to_torch(latents, AUDIO), seconds)
            audio = decode_track(self.loaded.core, self.loaded.audio_vae, sound)
            return stereo(audio["waveform"])[0].float().cpu().numpy(), int(audio["sample_rate"])

    def free(self, level: FreeLevel) -> None:
        """Core itself unloads a text encoder when another model needs its room."""
        if level == "prompts":
            return
        if level == "cache":
            import comfy.model_management

            comfy.model_management.soft_empty_cache()
            return
        if level == "stream":
            load_piecewise()
        free_vram()

    def close(self) -> None:
        if "loaded" in vars(self):
            del self.loaded
            free_vram()

    def _settings(self, run: PassParams, clip: torch.Tensor) -> Settings:
        if run.attention_mode == "auto":
            run = replace(run, attention_mode=self.attention_kernel)
        settings = settings_of(self.loaded.core, run, self.loaded.model)
        if run.excerpt is None:
            return settings
        noise = ShotNoise(run.seed, run.span.artifact.start, tuple(clip.shape))
        return replace(settings, noise=Shot(noise))

    def _track(self, run: PassParams, sound: PassSound) -> Track | None:
        """None where the job has no sound."""
        if run.audio_mode is None:
            return None
        if not hears(self.loaded.model):
            raise InvalidInput("the job has sound and the model has no audio side: use an LTX-2 checkpoint.")
        latents = None if sound.latents is None else torch.from_numpy(np.array(sound.latents))
        core, vae, frames = self.loaded.core, self.loaded.audio_vae, frames_of(run.span.sampled)
        if run.excerpt is not None and latents is not None:
            # Of a longer clip the end is heard, at which both stop.
            latents = latents[:, :, -audio_format(core, vae, frames, run.frame_rate).latents :]
        if sound.held:
            return None if latents is None else heard_track(latents)
        kept = None
        if sound.before is not None:
            kept = Kept(torch.from_numpy(np.array(sound.before)), frames_of(run.span.overlap))
        return generated_track(core, vae, frames, run.frame_rate, kept, latents)


def _packed(tensors: dict[str, torch.Tensor]) -> Payload:
    return from_torch({name: tensor.float() for name, tensor in tensors.items()})
