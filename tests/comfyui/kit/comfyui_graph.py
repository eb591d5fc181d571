"""A workflow of core's own nodes that makes what the two nodes make, node by node: loaders, prompts, guides,
sound, samplers and the latent upscale. Noise levels are written out, as in ManualSigmas."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch

Latent = dict[str, Any]
SHIFTS = {"max_shift": 2.05, "base_shift": 0.95}
KINDS = ("checkpoints", "diffusion_models", "vae", "text_encoders", "latent_upscale_models")


@dataclass(frozen=True)
class Take:
    """What is asked of a clip: seconds and words."""

    side: int = 64
    frames: int = 25
    rate: float = 25.0
    sigmas: tuple[float, ...] = (1.0, 0.6, 0.0)
    cfg: float = 3.0
    prompt: str = "a red ball bounces"
    negative: str = "low quality"


@dataclass(frozen=True)
class Made:
    """Latents of pictures `[1, 128, T, h, w]` and of sound `[1, C, t, f]`."""

    video: torch.Tensor
    audio: torch.Tensor


class Tail:
    """A VAE that has encoded already: core's own node places these latents."""

    downscale_index_formula: ClassVar[tuple[int, int, int]] = (8, 32, 32)

    def __init__(self, latents: torch.Tensor) -> None:
        self.latents = latents

    def encode(self, _: torch.Tensor) -> torch.Tensor:
        return self.latents


class Graph:
    """The nodes of one model, loaded by core's loaders from the files of a spec's `engine` section."""

    def __init__(self, core: Any, engine: dict[str, Any], take: Take) -> None:
        self.core, self.take = core, take
        self.upscaler = self._load("LatentUpscaleModelLoader", model_name=engine["upscale_model"])
        self.audio_vae = self._load("LTXVAudioVAELoader", ckpt_name=engine["audio_vae"])
        if "checkpoint" in engine:
            self.model, _, self.vae = self._all("CheckpointLoaderSimple", ckpt_name=engine["checkpoint"])
            words = {"text_encoder": engine["text_encoder"], "ckpt_name": engine["checkpoint"]}
            self.clip = self._load("LTXAVTextEncoderLoader", **words, device="default")
        else:
            self.model = self._load("UNETLoader", unet_name=engine["diffusion_model"], weight_dtype="default")
            self.vae = self._load("VAELoader", vae_name=engine["vae"])
            self.clip = self._clip(engine["text_encoder"])

    def conditioning(self) -> tuple[Any, Any]:
        words = (self.take.prompt, self.take.negative)
        positive, negative = (self._load("CLIPTextEncode", clip=self.clip, text=text) for text in words)
        both = {"positive": positive, "negative": negative, "frame_rate": self.take.rate}
        return self._all("LTXVConditioning", **both)[:2]

    def generate(self, seed: int) -> Made:
        return self._sampled(*self.conditioning(), self._empty(self.take.frames), self._silence(), seed)

    def extend(self, before: Made, new: int, overlap: int, seed: int) -> Made:
        """The clip that goes on: its overlap guides it, and the end of the sound stands at its head."""
        frames = overlap - 7 + new
        empty = self._empty(frames)
        positive, negative, guided = self._all(
            "LTXVAddGuide",
            positive=self.conditioning()[0],
            negative=self.conditioning()[1],
            vae=Tail(before.video[:, :, -(overlap // 8) :].clone()),
            latent=empty,
            image=torch.zeros(overlap - 7, 32, 32, 3),
            frame_idx=0,
            strength=1.0,
        )
        kept = self._silence(overlap - 7)["samples"].shape[2]
        sound = self._silence(frames)["samples"]
        mask = torch.ones_like(sound)
        sound[:, :, :kept], mask[:, :, :kept] = before.audio[:, :, -kept:], 0.0
        made = self._sampled(positive, negative, guided, {"samples": sound, "noise_mask": mask}, seed)
        return Made(made.video[:, :, : empty["samples"].shape[2]], made.audio)

    def second_pass(self, first: Made, sigmas: torch.Tensor, seed: int) -> Made:
        """Twice the size; the sound is made anew from itself."""
        larger = self._load(
            "LTXVLatentUpsampler", samples={"samples": first.video}, upscale_model=self.upscaler, vae=self.vae
        )
        sound = {"samples": first.audio, "noise_mask": torch.ones_like(first.audio)}
        start = {"samples": larger["samples"]}
        return self._sampled(*self.conditioning(), start, sound, seed, sigmas)

    def _sampled(
        self, positive: Any, negative: Any, video: Latent, sound: Latent, seed: int,
        sigmas: torch.Tensor | None = None,
    ) -> Made:  # fmt: skip
        both = self._load("LTXVConcatAVLatent", video_latent=_masked(video), audio_latent=_masked(sound))
        model = self._load("ModelSamplingLTXV", model=self.model, **SHIFTS, latent=video)
        words = {"positive": positive, "negative": negative}
        sampled = self._load(
            "SamplerCustomAdvanced",
            noise=self._load("RandomNoise", noise_seed=seed),
            guider=self._load("CFGGuider", model=model, **words, cfg=self.take.cfg),
            sampler=self._load("KSamplerSelect", sampler_name="euler"),
            sigmas=torch.tensor(self.take.sigmas) if sigmas is None else sigmas,
            latent_image=both,
        )
        pictures, heard = self._all("LTXVSeparateAVLatent", av_latent=sampled)
        return Made(pictures["samples"], heard["samples"])

    def _empty(self, frames: int) -> Latent:
        size = {"width": self.take.side, "height": self.take.side}
        return self._load("EmptyLTXVLatentVideo", **size, length=frames, batch_size=1)

    def _silence(self, frames: int | None = None) -> Latent:
        return self._load(
            "LTXVEmptyLatentAudio", frames_number=frames or self.take.frames, frame_rate=self.take.rate,
            batch_size=1, audio_vae=self.audio_vae,
        )  # fmt: skip

    def _clip(self, files: str | list[str]) -> Any:
        if isinstance(files, str):
            return self._load("CLIPLoader", clip_name=files, type="ltxv")
        return self._load("DualCLIPLoader", clip_name1=files[0], clip_name2=files[1], type="ltxv")

    def _load(self, node: str, **inputs: Any) -> Any:
        return self._all(node, **inputs)[0]

    def _all(self, node: str, **inputs: Any) -> tuple[Any, ...]:
        named = {key: _name(value) for key, value in inputs.items()}
        return self.core.call(node, **named)


def know_folder(folder: Path) -> None:
    """Core's loaders take names, and look for them in their folders."""
    import folder_paths

    for kind in KINDS:
        folder_paths.add_model_folder_path(kind, str(folder))
    folder_paths.filename_list_cache.clear()


def _name(value: Any) -> Any:
    return Path(value).name if isinstance(value, str) and value.endswith(".safetensors") else value


def _masked(latent: Latent) -> Latent:
    """With the denoise mask that core joins: all of it is denoised where it has none."""
    samples = latent["samples"]
    mask = torch.ones(1, 1, samples.shape[2], 1, 1) if samples.ndim == 5 else torch.ones_like(samples)
    return {"noise_mask": mask, **latent}
