"""Denoise one clip through ComfyUI's own sampler nodes."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from actors.engines.comfyui.core.nodes import Core
from actors.engines.comfyui.loading.model_kind import hears
from actors.engines.comfyui.sampling.guidance import Guidance, cfg_guider, guided_model
from actors.engines.comfyui.sampling.guides import GUIDE_KEYS, Pair, add_guides
from actors.engines.comfyui.sampling.noise import Shot
from actors.engines.comfyui.sampling.patches import Efficiency, patched
from actors.engines.schedule import LTX2_TOKENS, truncated

if TYPE_CHECKING:
    from actors.engines.comfyui.core.nodes import Core
    from actors.engines.pieces import Piece

DEFAULT_SAMPLER = "euler"


@dataclass(frozen=True)
class Settings:
    """How a clip is denoised.

    `sigmas`, `sampler` and `guider` are ComfyUI objects; each replaces what the numbers would give.
    `denoise` < 1 starts from the clip itself, at the tail of a longer schedule. `noise` is a shot's, None the
    clip's own.
    """

    seed: int
    frame_rate: float
    steps: int = 20
    guidance: Guidance = field(default_factory=Guidance)
    max_shift: float = 2.05
    base_shift: float = 0.95
    denoise: float = 1.0
    sampler: Any = None
    noise: Shot | None = None
    sigmas: torch.Tensor | None = None
    guider: Any = None
    efficiency: Efficiency = field(default_factory=Efficiency)


@dataclass(frozen=True)
class Track:
    """Audio latents `[1, C, t, f]` beside the clip, and their denoise mask (0 keeps them as they are)."""

    latents: torch.Tensor
    mask: torch.Tensor


@dataclass(frozen=True)
class Clip:
    """A sampled clip: video latents `[1, C, T, h, w]`, and audio latents where a track was given."""

    video: torch.Tensor
    audio: torch.Tensor | None = None


def empty_clip(core: Core, width: int, height: int, latents: int) -> torch.Tensor:
    """Zeros `[1, 128, latents, height/32, width/32]` where ComfyUI keeps intermediate tensors."""
    made = core.call(
        "EmptyLTXVLatentVideo", width=width, height=height, length=8 * (latents - 1) + 1, batch_size=1
    )
    return made[0]["samples"]


def sample_clip(
    core: Core,
    model: Any,
    pair: Pair,
    start: torch.Tensor,
    how: Settings,
    *,
    guides: Sequence[Piece] = (),
    track: Track | None = None,
) -> Clip:
    """Denoise `start` `[1, C, T, h, w]` with MODEL under the guides, which are cropped from the result."""
    pair = core.call("LTXVConditioning", positive=pair[0], negative=pair[1], frame_rate=how.frame_rate)[:2]
    pair, latent = add_guides(core, pair, start, guides)
    guider = _guider(core, model, pair, start, latent["samples"], how)
    joined = join_track(core, latent, track)
    sampler = how.sampler or core.call("KSamplerSelect", sampler_name=DEFAULT_SAMPLER)[0]
    sampled = core.call(
        "SamplerCustomAdvanced",
        noise=how.noise or core.call("RandomNoise", noise_seed=how.seed)[0],
        guider=guider,
        sampler=how.noise.sampler(sampler, joined["samples"]) if how.noise else sampler,
        sigmas=schedule_sigmas(start, how, hears(model)) if how.sigmas is None else how.sigmas,
        latent_image=joined,
    )[0]
    return _separate(core, sampled, start.shape[2])


def schedule_sigmas(clip: torch.Tensor, how: Settings, ltx2: bool) -> torch.Tensor:
    """LTXVScheduler's sigmas for the clip `[1, C, T, h, w]`; with `denoise` < 1 the last `steps` of a
    schedule of steps / denoise.

    Guides add tokens but no length, so the schedule is that of the clip without them; LTX-2 has one for clips
    of all sizes.
    """
    tokens = LTX2_TOKENS if ltx2 else clip[0, 0].numel()
    return truncated(how.steps, how.denoise, tokens, (how.max_shift, how.base_shift))


def join_track(core: Core, latent: dict[str, Any], track: Track | None) -> dict[str, Any]:
    """The LATENT to sample: the clip alone, or the clip and its audio as one nested tensor."""
    if track is None:
        return latent
    audio = {"samples": track.latents, "noise_mask": track.mask}
    video = {"noise_mask": torch.ones(1, 1, latent["samples"].shape[2], 1, 1), **latent}
    return core.call("LTXVConcatAVLatent", video_latent=video, audio_latent=audio)[0]


def _separate(core: Core, sampled: dict[str, Any], latents: int) -> Clip:
    """Audio first, then the guides: slicing the nested tensor would cut both."""
    samples = sampled["samples"]
    if not getattr(samples, "is_nested", False):
        return Clip(samples[:, :, :latents])
    video, audio = core.call("LTXVSeparateAVLatent", av_latent=sampled)
    return Clip(video["samples"][:, :, :latents], audio["samples"])


def _guider(
    core: Core, model: Any, pair: Pair, start: torch.Tensor, clip: torch.Tensor, how: Settings
) -> Any:
    """The GUIDER of a `clip` with its guides; the schedule is that of `start`, which has none."""
    schedule, tokens = {"samples": start}, clip[0, 0].numel()
    if how.guider is not None:
        return _guided(core, how.guider, pair, schedule, how, tokens)
    guided = guided_model(core, model, how.guidance, clip[0].numel())
    return cfg_guider(core, _prepared(core, guided, schedule, how, tokens), pair, how.guidance)


def _prepared(core: Core, model: Any, latent: dict[str, Any], how: Settings, tokens: int) -> Any:
    return core.call(
        "ModelSamplingLTXV",
        model=patched(model, how.efficiency, tokens),
        max_shift=how.max_shift,
        base_shift=how.base_shift,
        latent=latent,
    )[0]


def _guided(core: Core, guider: Any, pair: Pair, latent: dict[str, Any], how: Settings, tokens: int) -> Any:
    """A copy of the user's guider that keeps its model and conditioning, and learns of the guides."""
    mine = copy.copy(guider)
    mine.model_patcher = _prepared(core, guider.model_patcher, latent, how, tokens)
    mine.model_options = mine.model_patcher.model_options
    options = pair[0][0][1]
    guides = {key: options[key] for key in GUIDE_KEYS if options.get(key) is not None}
    mine.original_conds = {
        name: [{"frame_rate": how.frame_rate, **cond, **guides} for cond in conds]
        for name, conds in guider.original_conds.items()
    }
    return mine
