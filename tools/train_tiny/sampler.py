"""A small self-contained sampler for judging checkpoints while training, over diffusers' own modules; the
farm's engines are the real ones.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from diffusers import AutoencoderKLLTX2Audio, AutoencoderKLLTXVideo, LTX2VideoTransformer3DModel
from diffusers.pipelines.ltx2.latent_upsampler import LTX2LatentUpsamplerModel
from diffusers.pipelines.ltx2.vocoder import LTX2Vocoder

from actors.models.tiny_words import TinyTokenizer
from tools.train_tiny.coders.audio_vae import decode_mel
from tools.train_tiny.coders.upsampler import upsample
from tools.train_tiny.procedural.sound import audio_latents
from tools.train_tiny.transformer.bank import decode, encode
from tools.train_tiny.transformer.flow import Words
from tools.train_tiny.transformer.geometry import (
    grid,
    slot_middle,
    sound_middle,
    still_middle,
    to_latents,
    to_tokens,
)

if TYPE_CHECKING:
    from tools.train_tiny.transformer.fast import Context

RATE = 25.0


def schedule(steps: int, tokens: int, terminal: float = 0.1, denoise: float = 1.0) -> torch.Tensor:
    """LTX's sigmas [steps + 1]: shifted by the token count, stretched to `terminal`, the last `denoise` of
    them.
    """
    total = round(steps / denoise)
    shift = 0.95 + (2.05 - 0.95) * (tokens - 1024) / (4096 - 1024)
    sigmas = torch.linspace(1, 0, total + 1)[:-1]
    sigmas = math.exp(shift) / (math.exp(shift) + (1 / sigmas - 1))
    sigmas = 1 - (1 - sigmas) * (1 - terminal) / (1 - sigmas[-1])
    return torch.cat([sigmas, torch.zeros(1)])[-(steps + 1) :]


@dataclass(frozen=True)
class Settings:
    """Sampling parameters; `sigmas` overrides the schedule. `modality` above 1 adds what picture and sound
    know of each other once more.
    """

    steps: int = 16
    cfg: float = 3.0
    audio_cfg: float = 3.0
    modality: float = 1.0
    denoise: float = 1.0
    sigmas: tuple[float, ...] = ()


@dataclass(frozen=True)
class Pass:
    """One pass: a clip of `slots` latents of h x w, the first `skipped` of which have no tokens.

    `held` [B, 128, n, h, w] stands in the first shown slots, `stills` are images [B, 128, 1, h, w] by frame.
    `heard` [B, K, 128] is the start of the sound; where `given`, it is all of it. `start` is the picture to
    begin from.
    """

    slots: int
    height: int
    width: int
    skipped: int = 0
    held: torch.Tensor | None = None
    stills: tuple[tuple[int, torch.Tensor], ...] = ()
    heard: torch.Tensor | None = None
    given: bool = False
    start: torch.Tensor | None = None
    rate: float = RATE

    @property
    def shown(self) -> int:
        """Slots with tokens."""
        return self.slots - self.skipped

    @property
    def sounds(self) -> int:
        """Audio latents."""
        return audio_latents(8 * self.slots - 7, self.rate)


@dataclass(frozen=True)
class _Known:
    """What is known of both streams as tokens, and where: 1 = known."""

    picture: torch.Tensor
    picture_mask: torch.Tensor
    sound: torch.Tensor
    sound_mask: torch.Tensor
    coords: torch.Tensor
    marks: torch.Tensor


@dataclass
class Models:
    """The modules on one device."""

    transformer: LTX2VideoTransformer3DModel
    words: Words
    vae: AutoencoderKLLTXVideo
    audio_vae: AutoencoderKLLTX2Audio
    vocoder: LTX2Vocoder
    upsampler: LTX2LatentUpsamplerModel
    temporal: LTX2LatentUpsamplerModel
    tokenizer: TinyTokenizer
    device: torch.device
    marked: bool = True
    generator: torch.Generator = field(init=False)

    def __post_init__(self) -> None:
        self.generator = torch.Generator(self.device).manual_seed(0)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Normalised latents -> clip [B, F, 3, H, W] in [0, 1]."""
        return ((decode(self.vae, latents).clamp(-1, 1) + 1) / 2).transpose(1, 2)

    def play(self, tokens: torch.Tensor) -> torch.Tensor:
        """Normalised audio tokens [B, L, 128] -> waveform [B, 2, N] at 24 kHz on the CPU."""
        wave: torch.Tensor = self.vocoder(decode_mel(self.audio_vae, tokens))
        return wave.float().cpu()

    def encode_still(self, image: torch.Tensor) -> torch.Tensor:
        """Images [B, 3, H, W] in [0, 1] -> normalised latents [B, 128, 1, h, w]."""
        return encode(self.vae, image[:, :, None] * 2 - 1)

    def upsample(self, latents: torch.Tensor) -> torch.Tensor:
        return upsample(self.vae, self.upsampler, latents)

    def noise(self, *shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=self.generator, device=self.device)

    def sample(
        self, prompts: Sequence[str], work: Pass, settings: Settings
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Latents [B, 128, shown, h, w] and audio tokens [B, L, 128], by Euler steps with guidance."""
        count, per_slot = len(prompts), work.height * work.width
        sigmas = (
            list(settings.sigmas)
            or schedule(settings.steps, work.slots * per_slot, denoise=settings.denoise).tolist()
        )
        known = self._known(count, work)
        seed = torch.zeros_like(known.picture)
        if work.start is not None:
            seed[:, : work.shown * per_slot] = to_tokens(work.start)
        x = sigmas[0] * self.noise(*known.picture.shape) + (1 - sigmas[0]) * seed
        a = sigmas[0] * self.noise(*known.sound.shape)
        if work.start is not None and not work.given:
            raise ValueError("a second pass hears the sound of the first")
        words = self.words(torch.tensor(self.tokenizer.batch([*prompts, *[""] * count]), device=self.device))
        for sigma, following in pairwise(sigmas):
            x = torch.lerp(x, known.picture, known.picture_mask)
            a = torch.lerp(a, known.sound, known.sound_mask)
            both = self._velocity(words, x, a, sigma, known, work)
            apart = both
            if settings.modality != 1.0:
                apart = self._velocity(words, x, a, sigma, known, work, apart=True)
            picture, sound = (
                _guided(together, cfg) + (settings.modality - 1) * (together[:count] - alone[:count])
                for together, alone, cfg in zip(both, apart, (settings.cfg, settings.audio_cfg), strict=True)
            )
            x = x + (following - sigma) * picture
            a = a + (following - sigma) * sound
        x = torch.lerp(x, known.picture, known.picture_mask)
        a = torch.lerp(a, known.sound, known.sound_mask)
        return to_latents(x[:, : work.shown * per_slot], work.height, work.width), a

    def _known(self, count: int, work: Pass) -> _Known:
        device, per_slot = self.device, work.height * work.width
        clip = torch.zeros(count, 128, work.shown, work.height, work.width, device=device)
        mask = torch.zeros(count, work.shown, device=device)
        if work.held is not None:
            clip[:, :, : work.held.shape[2]] = work.held
            mask[:, : work.held.shape[2]] = 1
        slots = torch.arange(work.skipped, work.slots, device=device)
        frames = torch.tensor([float(frame) for frame, _ in work.stills], device=device)
        middle = torch.cat([slot_middle(slots), still_middle(frames)])[None] / work.rate
        stills = [to_tokens(latents) for _, latents in work.stills]
        mask = torch.cat([mask, torch.ones(count, len(stills), device=device)], 1)
        marks = torch.zeros_like(mask)
        marks[:, work.shown :] = 1
        marks[:, 0] = float(work.skipped == 0)
        sound = torch.zeros(count, work.sounds, 128, device=device)
        sound_mask = torch.zeros(count, work.sounds, 1, device=device)
        if work.heard is not None:
            sound[:, : work.heard.shape[1]] = work.heard
            sound_mask[:, : work.heard.shape[1]] = 1
        return _Known(
            torch.cat([to_tokens(clip), *stills], 1),
            mask.repeat_interleave(per_slot, 1)[..., None],
            sound,
            sound_mask,
            grid(middle, work.height, work.width).expand(count, -1, -1),
            marks.repeat_interleave(per_slot, 1)[..., None] * float(self.marked),
        )

    def _velocity(
        self,
        words: Context,
        x: torch.Tensor,
        a: torch.Tensor,
        sigma: float,
        known: _Known,
        work: Pass,
        *,
        apart: bool = False,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Velocities with the prompts, then without, of both streams; `apart`: neither knows of the other."""

        def twice(tensor: torch.Tensor) -> torch.Tensor:
            return torch.cat([tensor, tensor])

        level = torch.full((2 * len(x),), 1000 * sigma, device=self.device)
        quiet = torch.zeros_like(level) if work.given else level
        times = twice(1 - known.picture_mask)[..., 0] * level[:, None]
        heard_times = twice(1 - known.sound_mask)[..., 0] * quiet[:, None]
        shift = torch.zeros(2 * len(x), device=self.device)
        seen, heard = self.transformer(
            hidden_states=twice(x),
            audio_hidden_states=twice(a),
            encoder_hidden_states=words.picture,
            audio_encoder_hidden_states=words.sound,
            encoder_attention_mask=words.mask.float(),
            audio_encoder_attention_mask=words.mask.float(),
            timestep=times,
            audio_timestep=heard_times,
            sigma=level,
            audio_sigma=quiet,
            video_coords=twice(known.coords),
            audio_coords=sound_middle(work.sounds, shift)[:, None],
            video_keyframes_mask=twice(known.marks),
            use_cross_timestep=True,
            isolate_modalities=apart,
            return_dict=False,
        )
        return seen.float(), heard.float()


def _guided(velocity: torch.Tensor, cfg: float) -> torch.Tensor:
    with_prompt, without = velocity.chunk(2)
    return without + cfg * (with_prompt - without)


def extend_pass(clip: Pass, chain: torch.Tensor, sound: torch.Tensor, overlap: int, new: int) -> Pass:
    """The pass that goes on from a chain at 25 frames a second, where a frame has one audio latent."""
    begin = 8 * (chain.shape[2] - 1 - overlap)
    return replace(
        clip,
        slots=1 + overlap + new,
        skipped=1,
        held=chain[:, :, -overlap:],
        heard=sound[:, begin:],
        stills=(),
    )
