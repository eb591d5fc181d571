"""A planned sampling to ComfyUI's objects: samplers, sigmas and guiders by name."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import torch

from actors.engines.comfyui.core.nodes import Core
from actors.engines.comfyui.sampling.attention import AttentionMode
from actors.engines.comfyui.sampling.denoise import Settings
from actors.engines.comfyui.sampling.patches import Efficiency
from jobs.errors import InvalidInput
from jobs.planning.params import LTX_VIDEO_PARAMS, PassParams, PlannedGuider

if TYPE_CHECKING:
    from actors.engines.comfyui.core.nodes import Core
    from actors.engines.comfyui.sampling.attention import AttentionMode


def settings_of(core: Core, params: PassParams) -> Settings:
    """How the task's clip is denoised. Raises InvalidInput for a sampler this core does not have."""
    sampling = params.sampling
    return Settings(
        seed=params.seed,
        frame_rate=params.frame_rate,
        steps=sampling.steps,
        cfg=sampling.cfg,
        max_shift=sampling.max_shift,
        base_shift=sampling.base_shift,
        denoise=sampling.denoise,
        sampler=_sampler(core, sampling.sampler),
        sigmas=None if sampling.sigmas is None else torch.tensor(sampling.sigmas, dtype=torch.float32),
        efficiency=Efficiency(cast("AttentionMode", params.attention_mode), params.ffn_chunks),
    )


def sampler_names() -> tuple[str, ...]:
    """Every sampler that core's KSamplerSelect knows."""
    from comfy.samplers import SAMPLER_NAMES

    return tuple(SAMPLER_NAMES)


def _sampler(core: Core, name: str) -> Any:
    known = sampler_names()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1) or ["euler_ancestral"]
        raise InvalidInput(
            f"ComfyUI {core.version} has no sampler {name!r}: use one it has, such as {near[0]}."
        )
    return core.call("KSamplerSelect", sampler_name=name)[0]


def guided_model(core: Core, model: Any, guider: PlannedGuider) -> Any:
    """The model that plain CFG is run on: itself for `cfg`, for `stg` a clone that also pushes away from a
    pass which skips some blocks (core's skip layer guidance, the residual form of spatio-temporal
    guidance).

    Raises InvalidInput for a guider, parameter or block that does not exist.
    """
    params = dict(guider.params)
    if guider.name == "cfg":
        _only(guider.name, params, ())
        return model
    if guider.name != "stg":
        raise InvalidInput(f"the comfyui engine has no guider {guider.name!r}: use cfg or stg.")
    _only(guider.name, params, LTX_VIDEO_PARAMS)
    core.require("stg")
    layers = len(model.model.diffusion_model.transformer_blocks)
    return core.call(
        "SkipLayerGuidanceDiT",
        model=model,
        scale=_number(params, "stg_scale", 1.0),
        rescaling_scale=_number(params, "rescale", 0.7),
        start_percent=0.0,
        end_percent=1.0,
        double_layers=",".join(map(str, _blocks(params.get("blocks", layers // 2), layers))),
    )[0]


def _only(name: str, params: Mapping[str, object], allowed: tuple[str, ...]) -> None:
    for key in params:
        if key not in allowed:
            known = ", ".join(allowed) or "none"
            raise InvalidInput(f"guider {name} has no parameter {key!r}: its parameters are {known}.")


def _number(params: Mapping[str, object], key: str, default: float) -> float:
    value = params.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidInput(f"guider parameter {key} is {value!r}: write a number.")
    return float(value)


def _blocks(value: object, layers: int) -> list[int]:
    blocks: list[int] = []
    for index in value if isinstance(value, list | tuple) else [value]:
        if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < layers:
            raise InvalidInput(
                f"guider parameter blocks names {index!r}: this model has blocks 0 to {layers - 1}."
            )
        blocks.append(index)
    return blocks
