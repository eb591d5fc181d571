"""A planned sampling to ComfyUI's objects: samplers, sigmas and guiders by name."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import torch

from actors.engines.comfyui.core.nodes import Core
from actors.engines.comfyui.core.requirements import GUIDERS
from actors.engines.comfyui.loading.model_kind import hears
from actors.engines.comfyui.sampling.attention import AttentionMode
from actors.engines.comfyui.sampling.denoise import Settings
from actors.engines.comfyui.sampling.guidance import Guidance, has_guiders
from actors.engines.comfyui.sampling.patches import Efficiency
from jobs.errors import InvalidInput
from jobs.planning.sampling import COMFYUI_PARAMS, LTX2_PARAMS

if TYPE_CHECKING:
    from actors.engines.comfyui.core.nodes import Core
    from actors.engines.comfyui.sampling.attention import AttentionMode
    from jobs.planning.params import PassParams
    from jobs.planning.sampling import Sampling


def settings_of(core: Core, params: PassParams, model: Any) -> Settings:
    """How the task's clip is denoised with MODEL. Raises InvalidInput for a sampler or guider that does not
    exist, MissingCoreApi for one that this core does not have."""
    sampling, transformer = params.sampling, model.model.diffusion_model
    layers = len(transformer.transformer_blocks)
    return Settings(
        seed=params.seed,
        frame_rate=params.frame_rate,
        steps=sampling.steps,
        guidance=make_guidance(core, sampling, layers, hears(model)),
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


def guider_params(core: Core, sound: bool) -> Mapping[str, tuple[str, ...]]:
    """The guiders of this core for a model, by name, with the parameters of each."""
    return {"cfg": (), "stg": LTX2_PARAMS if has_guiders(core, sound) else COMFYUI_PARAMS}


def make_guidance(core: Core, sampling: Sampling, layers: int, sound: bool) -> Guidance:
    """The guider of a planned sampling for a model of `layers` blocks.

    Raises InvalidInput for a guider, parameter or block that does not exist, MissingCoreApi for one that this
    core does not have.
    """
    name, params = sampling.guider.name, dict(sampling.guider.params)
    if name == "cfg":
        _only(name, params, ())
        return Guidance(sampling.cfg)
    if name != "stg":
        raise InvalidInput(f"the comfyui engine has no guider {name!r}: use cfg or stg.")
    _only(name, params, LTX2_PARAMS if sound else COMFYUI_PARAMS)
    if any(key not in COMFYUI_PARAMS for key in params):
        core.require(GUIDERS)
    middle = layers * 3 // 5 if has_guiders(core, sound) else layers // 2
    return Guidance(
        sampling.cfg,
        _number(params, "audio_cfg", sampling.cfg),
        _number(params, "stg_scale", 1.0),
        _number(params, "modality", 1.0),
        _number(params, "rescale", 0.7),
        tuple(_blocks(params.get("blocks", middle), layers)),
    )


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
