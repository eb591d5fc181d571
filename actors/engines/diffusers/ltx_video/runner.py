"""The stages on torch: everything of the engine that needs the models."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from actors.engines.diffusers import feedforward, kernels
from actors.engines.diffusers.codec import VideoCodec, upsample
from actors.engines.diffusers.guidance import Pass, make_guidance
from actors.engines.diffusers.ltx_video.denoiser import Denoiser, Text, run_sampler
from actors.engines.diffusers.ltx_video.loading import Denoising, Loader
from actors.engines.diffusers.ltx_video.tokens import Guide, build_sequence
from actors.engines.diffusers.residents import Residents
from actors.engines.diffusers.samplers import SAMPLERS, Sampler
from actors.engines.latents import DecodeSettings
from actors.engines.schedule import explicit, truncated
from actors.engines.transfer import DeviceFrames, bring_home, to_device
from actors.payload import Payload, from_torch, to_torch
from jobs.errors import InvalidInput
from jobs.frames import LATENT_CHANNELS, SPATIAL, frames_of
from jobs.tasks.graph import resamples
from jobs.tasks.task import Stage

if TYPE_CHECKING:
    import numpy as np

    from actors.engines.base import Arriving, FreeLevel
    from actors.engines.diffusers.files import ModelFiles
    from jobs.planning.params import DecodeParams, GuideUse, SampleParams, Sampling, UpscaleParams

log = logging.getLogger(__name__)


class Runner:
    """Models on one device. Every method runs in inference mode.

    `sample`, `upscale` and `decode` do not wait for the device: on a GPU what they answer with is on its way.
    They must where a model is brought over piece by piece, or a kernel is still to be chosen.
    """

    needs: ClassVar[dict[Stage, tuple[str, ...]]] = {
        Stage.ENCODE: ("prompts", "codec"),
        Stage.SAMPLE: ("denoising",),
        Stage.UPSCALE: ("denoising", "codec"),
        Stage.DECODE: ("codec",),
    }

    def __init__(self, files: ModelFiles, device: str, dtype: str, threads: int) -> None:
        torch.set_num_threads(threads)
        self.device = torch.device(device)
        if self.device.type == "cuda":
            _be_deterministic()
        self.residents = Residents(self.device, self._loaders(files, getattr(torch, dtype)))
        self._warned = False
        self._choice: str | None = None

    def _loaders(self, files: ModelFiles, dtype: torch.dtype) -> dict[str, Callable[[], Any]]:
        """What makes each model, by the name under which it resides."""
        loader = Loader(files, dtype)
        return {
            "prompts": loader.prompts,
            "codec": loader.codec,
            "denoising": loader.denoising,
            "upsampler": loader.upsampler,
        }

    def load(self, stages: frozenset[Stage]) -> None:
        """Load and place what the stages need, in the order in which a job uses it. The upsampler waits for
        its first use: a job without upscaling has none."""
        for stage in Stage:
            for name in self.needs.get(stage, ()) if stage in stages else ():
                self.residents.get(name)

    @torch.inference_mode()
    def encode_text(self, prompt: str, negative: str) -> Payload:
        prompts = self.residents.get("prompts")
        positive, positive_mask = prompts.encode(prompt)
        empty, negative_mask = prompts.encode(negative)
        return from_torch(
            {
                "positive": positive,
                "positive_mask": positive_mask,
                "negative": empty,
                "negative_mask": negative_mask,
            }
        )

    @torch.inference_mode()
    def encode_frames(self, frames: np.ndarray) -> Payload:
        return from_torch({"latents": self.residents.get("codec").encode(frames)})

    @torch.inference_mode()
    def sample(
        self, params: SampleParams, conditioning: Payload, guides: Sequence[Payload], tail: Payload | None
    ) -> Payload | Arriving:
        clip = torch.zeros(
            (1, LATENT_CHANNELS, params.span.sampled, params.height // SPATIAL, params.width // SPATIAL),
            device=self.device,
        )
        return self._denoise(params, conditioning, clip, guides, tail)

    @torch.inference_mode()
    def upscale(
        self,
        params: UpscaleParams,
        latents: Payload,
        conditioning: Payload | None,
        guides: Sequence[Payload],
        tail: Payload | None,
    ) -> Payload | Arriving:
        codec: VideoCodec = self.residents.get("codec")
        start = upsample(
            codec, self.residents.get("upsampler"), self._tensor(latents, "latents"), params.adain
        )
        if conditioning is None or not resamples(params.sampling):
            return bring_home({"latents": start})
        return self._denoise(params, conditioning, start, guides, tail)

    @torch.inference_mode()
    def decode(self, params: DecodeParams, latents: Payload) -> np.ndarray | DeviceFrames:
        codec: VideoCodec = self.residents.get("codec")
        clip = self._tensor(latents, "latents")
        if params.tiling is None:
            return codec.decode(clip, DecodeSettings.of(params))
        return codec.decode_tiled(clip, params.tiling, DecodeSettings.of(params))

    def free(self, level: FreeLevel) -> None:
        match level:
            case "cache":
                self.residents.empty_cache()
            case "resident":
                self.residents.evict()
            case "offload":
                self.residents.stream()

    def _denoise(
        self,
        params: SampleParams | UpscaleParams,
        conditioning: Payload,
        clip: Tensor,
        guides: Sequence[Payload],
        tail: Payload | None,
    ) -> Payload | Arriving:
        """Noise `clip`, which may be empty, and sample it under the chain's tail and the guides."""
        held = self._overlap(tail, params.overlap_strength)
        held += [
            self._image(payload, use, clip.shape[2])
            for payload, use in zip(guides, params.guides, strict=True)
        ]
        model: Denoising = self.residents.get("denoising")
        sequence = build_sequence(clip, held, params.frame_rate, model.causal)
        model.attention.kernel = self._kernel(params.attention_mode, sequence.latents[0, 0].numel())
        feedforward.set_chunks(model.transformer, params.ffn_chunks)
        sampling, layers = params.sampling, len(model.transformer.transformer_blocks)
        denoiser = Denoiser(
            transformer=model.transformer,
            attention=model.attention,
            sequence=sequence,
            text=self._text(conditioning),
            guidance=make_guidance(sampling.guider.name, sampling.cfg, dict(sampling.guider.params), layers),
        )
        sigmas = sigmas_of(sampling, clip[0, 0].numel())
        return bring_home({"latents": run_sampler(sampler_of(sampling), denoiser, sigmas, params.seed)})

    def _overlap(self, tail: Payload | None, strength: float) -> list[Guide]:
        """The chain's tail as the guide at position 0."""
        if tail is None:
            return []
        return [Guide(self._tensor(tail, "latents"), 0, strength, _mask(strength))]

    def _image(self, payload: Payload, use: GuideUse, latents: int) -> Guide:
        frame = use.frame if use.frame >= 0 else frames_of(latents) + use.frame
        mask = _mask(use.strength * use.image_strength)
        return Guide(self._tensor(payload, "latents"), frame, use.strength, mask)

    def _text(self, conditioning: Payload) -> dict[Pass, Text]:
        return {
            which: Text(
                self._tensor(conditioning, which.value), self._tensor(conditioning, f"{which.value}_mask")
            )
            for which in (Pass.POSITIVE, Pass.NEGATIVE)
        }

    def _tensor(self, payload: Payload, name: str) -> Tensor:
        return to_device(to_torch(payload, name), self.device)

    def attention_choice(self) -> str:
        """What `attention_mode: auto` means for this transformer on this device; measured once."""
        if self._choice is None:
            self._choice = kernels.DEFAULT if self.device.type == "cpu" else self._measured_choice()
        return self._choice

    def _measured_choice(self) -> str:
        model = self.residents.get("denoising").transformer
        attention = model.transformer_blocks[0].attn1
        return kernels.choose(
            self.device, attention.heads, attention.to_q.out_features // attention.heads, model.dtype
        )

    def _kernel(self, mode: str, tokens: int) -> kernels.Kernel:
        name = kernels.name_for(self.attention_choice() if mode == "auto" else mode, tokens)
        found = kernels.kernel(name, self.device)
        if found is None and not self._warned:
            log.warning("attention kernel %s cannot be had on %s; taking torch's own", name, self.device)
            self._warned = True
        return found or F.scaled_dot_product_attention


def sigmas_of(sampling: Sampling, tokens: int) -> Tensor:
    """The noise levels of a run over a clip of `tokens` latent tokens, guides not counted."""
    if sampling.sigmas is not None:
        return explicit(sampling.sigmas)
    shifts = (sampling.max_shift, sampling.base_shift)
    return truncated(sampling.steps, sampling.denoise, tokens, shifts)


def sampler_of(sampling: Sampling) -> Sampler:
    """Raises `InvalidInput` for a name that does not exist here."""
    if sampling.sampler not in SAMPLERS:
        known = ", ".join(SAMPLERS)
        raise InvalidInput(f"there is no sampler {sampling.sampler!r} in the diffusers engine; use {known}")
    return SAMPLERS[sampling.sampler]


def _mask(hold: float) -> float:
    """The share of the noise that reaches a guide held this firmly."""
    return min(1.0, max(0.0, 1.0 - hold))


def _be_deterministic() -> None:
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    torch.use_deterministic_algorithms(True, warn_only=True)
    # Nothing here reads memory before it writes it; filling it would touch every byte twice.
    torch.utils.deterministic.fill_uninitialized_memory = False
