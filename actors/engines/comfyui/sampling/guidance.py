"""Guiders of a job through core's nodes: classifier-free guidance, with a scale of the sound's own,
spatio-temporal guidance, modality guidance and rescaling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from actors.engines.comfyui.core.requirements import GUIDERS
from actors.engines.comfyui.loading.model_kind import hears

if TYPE_CHECKING:
    import torch

    from actors.engines.comfyui.core.nodes import Core
    from actors.engines.comfyui.sampling.guides import Pair


@dataclass(frozen=True)
class Guidance:
    """`cfg` scales the prompt for the picture, `audio_cfg` for the sound; `stg` pushes away from a forward in
    which self-attention of `blocks` passes its values through, `modality` (1 is none) from one in which
    picture and sound are apart; `rescale` in [0, 1] pulls the deviation back to that of the forward with the
    prompt.

    A core without those nodes, and every core for LTX-Video, skips the `blocks` as a whole: core's skip layer
    guidance, the residual form of spatio-temporal guidance.
    """

    cfg: float = 3.0
    audio_cfg: float | None = None
    stg: float = 0.0
    modality: float = 1.0
    rescale: float = 0.0
    blocks: tuple[int, ...] = ()


def has_guiders(core: Core, sound: bool) -> bool:
    """Whether core's own guiders of LTX-2 count: they change nothing in a model of pictures alone."""
    return sound and not core.lacks(GUIDERS)


def guided_model(core: Core, model: Any, how: Guidance, picture: int) -> Any:
    """MODEL, or a clone that carries what comes behind classifier-free guidance. `picture` counts the numbers
    of the clip's picture, behind which the sound stands when both are sampled as one tensor."""
    if not has_guiders(core, hears(model)):
        return _skipping(core, model, how) if how.stg else model
    all_steps = {"start_percent": 0.0, "end_percent": 1.0}
    if how.stg:
        blocks = ",".join(map(str, how.blocks))
        model = core.call(
            "LTXVSpatioTemporalGuidance", model=model, scale=how.stg, blocks=blocks, **all_steps
        )[0]
    if how.modality != 1.0:
        model = core.call("LTXVModalityGuidance", model=model, modality_scale=how.modality, **all_steps)[0]
    if how.rescale:
        model = model.clone()
        model.set_model_sampler_post_cfg_function(_rescaling(how.rescale, picture))
    return model


def cfg_guider(core: Core, model: Any, pair: Pair, how: Guidance) -> Any:
    """GUIDER of the prompt's scales."""
    named = {"model": model, "positive": pair[0], "negative": pair[1]}
    if how.audio_cfg is None or how.audio_cfg == how.cfg:
        return core.call("CFGGuider", **named, cfg=how.cfg)[0]
    core.require(GUIDERS)
    return core.call("LTXVDualCFGGuider", **named, video_cfg=how.cfg, audio_cfg=how.audio_cfg)[0]


def _skipping(core: Core, model: Any, how: Guidance) -> Any:
    core.require("stg")
    return core.call(
        "SkipLayerGuidanceDiT",
        model=model,
        scale=how.stg,
        rescaling_scale=how.rescale,
        start_percent=0.0,
        end_percent=1.0,
        double_layers=",".join(map(str, how.blocks)),
    )[0]


def _rescaling(share: float, picture: int) -> Any:
    """Core's hook behind guidance: the deviation of picture and sound, each on its own, comes near that of
    the forward with the prompt."""

    def rescaled(args: dict[str, Any]) -> torch.Tensor:
        guided = args["denoised"].clone()
        pairs = zip(_sides(guided, picture), _sides(args["cond_denoised"], picture), strict=True)
        for side, positive in pairs:
            side.mul_(share * (positive.std() / side.std()) + (1 - share))
        return guided

    return rescaled


def _sides(clip: torch.Tensor, picture: int) -> list[torch.Tensor]:
    """Views of the picture, and of the sound behind it where there is one."""
    row = clip.flatten(1)
    return [side for side in (row[:, :picture], row[:, picture:]) if side.numel()]
