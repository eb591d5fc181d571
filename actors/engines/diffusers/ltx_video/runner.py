"""The stages on torch: everything of the engine that needs the models."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from actors.engines.diffusers import feedforward, kernels
from actors.engines.diffusers.codec import VideoCodec, upsample
from actors.engines.diffusers.fused.fp8 import fault_of
from actors.engines.diffusers.guidance import Forward, make_guidance
from actors.engines.diffusers.ltx_video.denoiser import Denoiser, Text, run_sampler
from actors.engines.diffusers.ltx_video.loading import Denoising, Loader
from actors.engines.diffusers.ltx_video.tokens import build_sequence
from actors.engines.diffusers.residents import PROMPTS, Residents
from actors.engines.diffusers.samplers import SAMPLERS, Sampler
from actors.engines.latents import DecodeSettings, opened
from actors.engines.noise import ClipNoise, Noises, ShotNoise
from actors.engines.schedule import explicit, truncated
from actors.engines.transfer import DeviceFrames, DeviceLatents, bring_home, keep, to_device
from actors.payload import Payload, from_torch, to_torch
from jobs.errors import InvalidInput, Problem, SpecError
from jobs.frames import LATENT_CHANNELS, SPATIAL
from jobs.tasks.task import Stage
from jobs.weights.use import TEXT_ENCODER, TRANSFORMER

if TYPE_CHECKING:
    import numpy as np

    from actors.engines.base import Arriving, FreeLevel
    from actors.engines.diffusers.files import ModelFiles
    from actors.engines.pieces import PassSound, Piece
    from actors.ranks import Ranks
    from jobs.planning.params import DecodeParams, PassParams, Upsampling
    from jobs.planning.sampling import Sampling

log = logging.getLogger(__name__)

NO_REFERENCES = "LTX-Video looks at no `references`; name an LTX-2 checkpoint, or leave them out"
NO_ROUNDS = (
    "LTX-Video makes no keyframes for temporal rounds; name an LTX-2.5 checkpoint, or write `temporal: 0`"
)
NO_SOUND = "LTX-Video makes no sound; name an LTX-2 checkpoint, or write `mode: mux`"

BLOCKS: Mapping[str, str] = {TEXT_ENCODER: PROMPTS, TRANSFORMER: "denoising"}
"""The models that can be streamed, and the names under which they reside."""


class Runner:
    """Models on one device. Every method runs in inference mode.

    `denoise`, `upsample` and `decode` do not wait for the device: on a GPU what they answer with is on its
    way. They must where a model is brought over piece by piece, or a kernel is still to be chosen.
    """

    needs: ClassVar[dict[Stage, tuple[str, ...]]] = {
        Stage.ENCODE: (PROMPTS, "codec"),
        Stage.SAMPLE: ("denoising",),
        Stage.UPSCALE: ("denoising", "codec"),
        Stage.DECODE: ("codec",),
    }

    def __init__(self, files: ModelFiles, device: str, dtype: str, threads: int) -> None:
        torch.set_num_threads(threads)
        self.device = torch.device(device)
        if self.device.type == "cuda":
            _be_deterministic()
        self.fp8 = dtype == "fp8"
        if self.fp8 and (fault := fault_of(self.device)):
            raise SpecError([Problem("engine.dtype", "fp8", fault, "write `bfloat16`, or use a newer card")])
        self.residents = Residents(self.device, self._loaders(files, _dtype(dtype, self.device)))
        self.ranks: Ranks | None = None
        """The gang that this process is a rank of, once it has met."""
        self._warned = False
        self._choice: str | None = None

    def _loaders(self, files: ModelFiles, dtype: torch.dtype) -> dict[str, Callable[[], Any]]:
        """What makes each model, by the name under which it resides."""
        loader = Loader(files, dtype, self.device, self.fp8)
        return {
            PROMPTS: loader.prompts,
            "codec": loader.codec,
            "denoising": loader.denoising,
            "upsampler": loader.upsampler,
        }

    def load(self, stages: frozenset[Stage]) -> None:
        """Load what the stages need, and place it in the order in which a job uses it, as far as there is
        room beside the text encoder. The upsampler waits for its first use: a job without upscaling has
        none."""
        for stage in Stage:
            for name in self.needs.get(stage, ()) if stage in stages else ():
                self.residents.prepare(name)
        passes = {Stage.SAMPLE, Stage.UPSCALE} & stages
        if passes:
            first = "sample" if Stage.SAMPLE in passes else "upscale"
            self.residents.model("denoising").loras.use(first)

    @torch.inference_mode()
    def encode_text(self, prompt: str, negative: str) -> Payload:
        prompts = self.residents.get(PROMPTS)
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
    def upsample(self, latents: Payload, how: Upsampling) -> Payload | DeviceLatents:
        return keep(self._upsampled(latents, how))

    @torch.inference_mode()
    def still(self, latents: Payload, frame: int, how: Upsampling) -> Payload | DeviceLatents:
        codec: VideoCodec = self.residents.get("codec")
        return keep(codec.again(self._upsampled(latents, how), frame))

    def _upsampled(self, latents: Payload, how: Upsampling) -> Tensor:
        codec: VideoCodec = self.residents.get("codec")
        start = self._tensor(latents, "latents")
        return upsample(codec, self.residents.get("upsampler"), start, how.adain)

    @torch.inference_mode()
    def denoise(
        self, run: PassParams, pieces: Sequence[Piece], sound: PassSound, conditioning: Payload
    ) -> Payload | Arriving:
        if run.audio_mode is not None:
            raise InvalidInput(NO_SOUND)
        if run.references:
            raise InvalidInput(NO_REFERENCES)
        if run.slots:
            raise InvalidInput(NO_ROUNDS)
        guides = self._here(pieces[1:])
        clip = opened(run, self._clip(run, pieces[0]), guides)
        model: Denoising = self.residents.get("denoising")
        model.loras.use(run.which, run.loras)
        sequence = build_sequence(clip, guides, run.frame_rate, model.causal, pieces[0].kept)
        model.attention.kernel = self._kernel(run.attention_mode, sequence.latents[0, 0].numel())
        feedforward.set_chunks(model.transformer, run.ffn_chunks)
        denoiser = Denoiser(
            transformer=model.transformer,
            attention=model.attention,
            sequence=sequence,
            text=self._text(conditioning),
            guidance=make_guidance(run.sampling, len(model.transformer.transformer_blocks)),
            ranks=self.ranks,
        )
        sigmas = sigmas_of(run.sampling, clip[0, 0].numel())
        return bring_home(
            {"latents": run_sampler(sampler_of(run.sampling), denoiser, sigmas, noises_of(run, clip))}
        )

    @torch.inference_mode()
    def decode(self, params: DecodeParams, latents: Payload) -> np.ndarray | DeviceFrames:
        codec: VideoCodec = self.residents.get("codec")
        clip, how = self._tensor(latents, "latents"), DecodeSettings.of(params)
        ranks = self.ranks if self.shares(params) else None
        if params.tiling is None:
            return codec.decode(clip, how, ranks)
        return codec.decode_tiled(clip, params.tiling, how, ranks)

    def shares(self, params: DecodeParams) -> bool:
        """Whether the ranks of a gang share this decode; its sound is the first one's."""
        if not params.window.keep:
            return False
        codec: VideoCodec = self.residents.get("codec")
        return codec.shares(len(params.window.context), params.tiling)

    def stream(self, models: Iterable[str]) -> None:
        """From now on the blocks of these models, of `BLOCKS`, come over one by one."""
        self.residents.stream(BLOCKS[model] for model in models)

    def free(self, level: FreeLevel) -> None:
        match level:
            case "prompts":
                self.residents.drop_prompts()
            case "cache":
                self.residents.empty_cache()
            case "resident":
                self.residents.evict()
            case "stream":
                self.stream(BLOCKS)

    def _clip(self, run: PassParams, start: Piece) -> Tensor:
        """What the clip is made over, `[1, C, T, h, w]`; zeros where that is nothing."""
        if start.latents is not None:
            return self._latents(start)
        rows, columns = run.height // SPATIAL, run.width // SPATIAL
        return torch.zeros((1, LATENT_CHANNELS, run.span.sampled, rows, columns), device=self.device)

    def _here(self, pieces: Sequence[Piece]) -> list[Piece]:
        """The pieces with tensors on the device."""
        return [replace(piece, latents=self._latents(piece)) for piece in pieces]

    def _latents(self, piece: Piece) -> Tensor:
        held = piece.latents
        return held.tensor if isinstance(held, DeviceLatents) else self._tensor(held, "latents")

    def _text(self, conditioning: Payload) -> dict[Forward, Text]:
        return {
            which: Text(
                self._tensor(conditioning, which.value), self._tensor(conditioning, f"{which.value}_mask")
            )
            for which in (Forward.POSITIVE, Forward.NEGATIVE)
        }

    def _tensor(self, payload: Payload, name: str) -> Tensor:
        return to_device(to_torch(payload, name), self.device)

    def attention_choice(self) -> str:
        """What `attention_mode: auto` means for this transformer on this device; measured once."""
        if self._choice is None:
            self._choice = kernels.DEFAULT if self.device.type == "cpu" else self._measured_choice()
        return self._choice

    def _measured_choice(self) -> str:
        model = self.residents.model("denoising").transformer
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


def _dtype(name: str, device: torch.device) -> torch.dtype:
    """Of the models; of what fp8 layers make, and of all others, where the blocks are in fp8."""
    if name == "fp8":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    found: torch.dtype = getattr(torch, name)
    return found


def noises_of(run: PassParams, clip: Tensor) -> Noises:
    """The noise of a clip `[1, C, T, h, w]`: that of its shot where it is cut out of one."""
    if run.excerpt is None:
        return ClipNoise(run.seed)
    return ShotNoise(run.seed, run.span.artifact.start, tuple(clip.shape))


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


def _be_deterministic() -> None:
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    torch.use_deterministic_algorithms(True, warn_only=True)
    # Nothing here reads memory before it writes it; filling it would touch every byte twice.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
