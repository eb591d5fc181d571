"""One denoising pass over pieces of picture and sound, under rectified flow.

x = noise m s + known (1 - m s) where m is a token's mask and s the first sigma; the transformer predicts the
velocity at m sigma, so denoised = x - m sigma velocity, and what is held counts as denoised already. This is
what Lightricks' ltx-core does with its latent states.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from actors.engines.diffusers.guidance import Forward, Guidance, Sides, shared
from actors.engines.diffusers.ltx2.attention import AttentionState
from actors.engines.diffusers.ltx2.noise import noise_of_tokens
from actors.engines.diffusers.ltx2.pieces import (
    Sound,
    Tokens,
    latents_of_pieces,
    latents_of_sound,
    picture_tokens,
    sound_tokens,
)
from actors.engines.diffusers.ltx2.recorded import Recorder, worth_recording
from actors.engines.diffusers.ltx_video.lora import NO_LORAS, MergedLoras
from actors.engines.diffusers.samplers import RENEWING, Sampler, settling
from actors.engines.diffusers.sequence import TokenSplit, projected_whole
from actors.engines.diffusers.streamed import stream_blocks
from actors.engines.noise import Noises
from actors.ranks import Ranks

if TYPE_CHECKING:
    from actors.engines.pieces import Piece

TIMESTEPS = 1000.0
UNGUIDED = Guidance.plain(1.0, 1.0)


@dataclass(frozen=True)
class Context:
    """What the transformer reads of a prompt: `video` and `audio` `[1, S, D]`, `mask` `[1, S]` or None where
    every token counts."""

    video: Tensor
    audio: Tensor
    mask: Tensor | None = None


@dataclass(frozen=True)
class Transformer:
    """A transformer that is ready to sample, its attention under the farm's control, `loras` to be merged for
    the pass that runs, with the traits of its version.

    `clean_frozen_sound`: 2.5 takes given sound as clean; 2.0 and 2.3 take it at the picture's noise level
    (`denoise_video_only` of ltx-pipelines 1.0.0).
    """

    transformer: Any
    attention: AttentionState
    loras: MergedLoras = NO_LORAS
    clean_frozen_sound: bool = False
    recorder: Recorder = field(default_factory=Recorder)

    def to(self, device: torch.device) -> None:
        self.recorder.forget()
        self.transformer.to(device)

    def stream(self, device: torch.device) -> None:
        self.recorder.forget()
        stream_blocks(self.transformer.transformer_blocks, device)

    @property
    def marks(self) -> bool:
        """Whether it marks single frames that it makes itself (2.5)."""
        return bool(self.transformer.config.use_keyframes_abs_pos_embedding)

    @property
    def layers(self) -> int:
        return len(self.transformer.transformer_blocks)


@dataclass(frozen=True)
class Pass:
    """How a pass runs: noise levels `[n + 1]` on the CPU, and what integrates and guides it.

    `watch`, where given, sees the tokens after each call of the guider (tests compare steps); `ranks` is the
    gang that shares the forwards. `within` counts the latents of guides that stand in the clip itself.

    `refined` `[1, C, T, h, w]` is the clip that a temporal round makes anew, without guides in it. As in
    diffusers' `LTX2DFRTemporalRefinePipeline` what is held in part is then not mixed with noise but blended
    with it, at the start and after each step: fresh noise would wear it down.
    """

    sigmas: Tensor
    frame_rate: float
    noises: Noises
    sampler: Sampler
    guidance: Guidance = UNGUIDED
    watch: Callable[[Tensor], None] | None = None
    ranks: Ranks | None = None
    within: int = 0
    refined: Tensor | None = None


def denoise(
    model: Transformer,
    run: Pass,
    pieces: Sequence[Piece],
    sound: Sound,
    conditioning: Mapping[Forward, Context],
    noise: Tensor | None = None,
) -> tuple[list[Tensor], Tensor]:
    """Latents of each piece, and the audio latents, float32.

    `conditioning` has `POSITIVE`, and `NEGATIVE` where the guider asks for it. `noise` `[1, N + t, 128]`, of
    all pieces and then the sound, is drawn on the CPU where it is not given.
    """
    device = model.transformer.device
    picture, heard = picture_tokens(pieces, run.frame_rate).to(device), sound_tokens(sound).to(device)
    denoiser = JointDenoiser(model, run, picture, heard, sound.frozen, conditioning)
    known, mask = denoiser.known, denoiser.mask
    first, later = noise_of_tokens(run.noises, pieces, run.within, sound, known.device)
    noise = (first() if noise is None else noise).to(known)
    if run.refined is None:
        level, sampler = mask * run.sigmas[0], _keeping(run.sampler, denoiser)
        x = noise * level + known * (1.0 - level)
    else:
        sampler = settling(run.sampler, denoiser.settled)
        start = denoiser.made_over(run.refined)
        x = denoiser.settled(noise * run.sigmas[0] + start * (1.0 - run.sigmas[0]))
    if len(run.sigmas) > 1:
        x = sampler(denoiser, x, run.sigmas, later)
    # Sigmas that stop early leave the signal scaled down; what is held is as it was.
    x = torch.where(mask == 0, known, x / (1.0 - run.sigmas[-1]) if run.sigmas[-1] < 1 else x)
    made, audio = x.split([picture.known.shape[1], heard.known.shape[1]], dim=1)
    return latents_of_pieces(made, pieces), latents_of_sound(audio, sound)


def _keeping(sampler: Sampler, denoiser: JointDenoiser) -> Sampler:
    """Tokens that are held in part keep their own noise level, as in ltx-pipelines' ancestral loop: fresh
    noise reaches them by as much as they are not held."""
    partly = (denoiser.mask > 0) & (denoiser.mask < 1)
    return settling(sampler, denoiser.settled) if sampler in RENEWING and bool(partly.any()) else sampler


class JointDenoiser:
    """Denoises the tokens of picture and sound `[1, N + t, 128]`; callable as a sampler wants it."""

    def __init__(
        self,
        model: Transformer,
        run: Pass,
        picture: Tokens,
        heard: Tokens,
        frozen: bool,
        conditioning: Mapping[Forward, Context],
    ) -> None:
        self.model, self.run = model, run
        self.picture, self.heard, self.frozen = picture, heard, frozen
        self.conditioning = conditioning
        self.known = torch.cat([picture.known, heard.known], dim=1)
        self.mask = torch.cat([picture.mask, heard.mask], dim=1)

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        x = torch.where(self.mask == 0, self.known, x)
        sides = self._sides(x)

        def run(forwards: Sequence[Forward], ranks: Ranks | None) -> list[Sides]:
            """One by one: at these sizes a batch gains nothing."""
            split = TokenSplit(ranks, sides[0].shape[1]) if ranks else None
            look = self.picture.looks or F.scaled_dot_product_attention
            projection = self.model.transformer.proj_out
            with self.model.attention.running(look, split), projected_whole(split, projection):
                return [self._denoised(x, sigma, which, split) for which in forwards]

        def predict(*asked: Forward) -> list[Sides]:
            size = self.model.transformer.config.num_attention_heads, sides[0].shape[1]
            return shared(self.run.ranks, asked, run, sides, size)

        denoised = torch.cat(self.run.guidance(predict, sides, sigma), dim=1)
        denoised = self.settled(denoised)
        if self.run.watch is not None:
            self.run.watch(denoised)
        return denoised

    def settled(self, x: Tensor) -> Tensor:
        """The tokens with what is held of them as firmly as it is held."""
        return x * self.mask + self.known * (1.0 - self.mask)

    def made_over(self, clip: Tensor) -> Tensor:
        """What is made of each token is made over: the clip `[1, C, T, h, w]`, keyframe slots, nothing of
        what is held."""
        tokens = clip.to(self.known).flatten(2).transpose(1, 2)
        beside = torch.where(self.mask == 1, self.known, 0.0)
        return torch.cat([tokens, beside[:, tokens.shape[1] :]], dim=1)

    def _sides(self, x: Tensor) -> Sides:
        return x.split([self.picture.known.shape[1], self.heard.known.shape[1]], dim=1)

    def _denoised(self, x: Tensor, sigma: Tensor, which: Forward, split: TokenSplit | None) -> Sides:
        level = float(sigma)
        video, audio = self._sides(x)
        velocities = self._velocities(video, audio, level, which, split)
        return (
            video - velocities[0].float() * (self.picture.mask * level),
            audio - velocities[1].float() * (self.heard.mask * level),
        )

    def _velocities(
        self, video: Tensor, audio: Tensor, sigma: float, which: Forward, split: TokenSplit | None
    ) -> Sides:
        """The sound is computed whole by every rank."""
        part = split.mine if split else lambda whole, _dim: whole
        marks = self.picture.marks if self.model.marks else None
        dtype = self.model.transformer.dtype
        negative = which is Forward.NEGATIVE
        context = self.conditioning[Forward.NEGATIVE if negative else Forward.POSITIVE]
        clean = self.frozen and self.model.clean_frozen_sound
        return self._forward(
            hidden_states=part(video, 1).to(dtype),
            audio_hidden_states=audio.to(dtype),
            encoder_hidden_states=context.video.to(dtype),
            audio_encoder_hidden_states=context.audio.to(dtype),
            encoder_attention_mask=context.mask,
            audio_encoder_attention_mask=context.mask,
            timestep=part(_timesteps(self.picture, sigma), 1),
            audio_timestep=_timesteps(self.heard, sigma),
            sigma=_level(sigma, video),
            audio_sigma=_level(0.0 if clean else sigma, audio),
            video_coords=part(self.picture.coords, 2),
            audio_coords=self.heard.coords,
            video_keyframes_mask=None if marks is None else part(marks, 1),
            spatio_temporal_guidance_blocks=self._skipped(which, sigma),
            isolate_modalities=which is Forward.APART,
            use_cross_timestep=True,
            return_dict=False,
        )

    def _forward(self, **given: Any) -> Sides:
        """Recorded where all that it reads is given, and it is short."""
        module, attention = self.model.transformer, self.model.attention
        plain = attention.split is None and self.picture.looks is None
        if plain and worth_recording(given["hidden_states"]):
            return self.model.recorder(module, given)
        made: Sides = module(**given)
        return made

    def _skipped(self, which: Forward, sigma: float) -> list[int] | None:
        return sorted(self.run.guidance.at(sigma).blocks) if which is Forward.PERTURBED else None


def _timesteps(tokens: Tokens, sigma: float) -> Tensor:
    """`[1, N]`; one for all where they are equal, which saves their embeddings."""
    levels = tokens.mask[..., 0] * (sigma * TIMESTEPS)
    return levels[:, :1] if tokens.alike else levels


def _level(sigma: float, like: Tensor) -> Tensor:
    return torch.full((1,), sigma * TIMESTEPS, device=like.device)
