"""How a clip is denoised: its sampler, its guider, and the guides that stand in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

GUIDER_PARAMS: Mapping[str, tuple[str, ...]] = {
    "cfg": (),
    "stg": (
        "stg_scale",
        "rescale",
        "blocks",
        "levels",
        "cfg",
        "cfg_star_rescale",
        "space",
        "audio_cfg",
        "modality",
    ),
}
"""The guiders of the engines, and the parameters of each."""

LTX2_PARAMS = ("audio_cfg", "stg_scale", "modality", "rescale", "blocks")
"""Those that the engines have for LTX-2, each one value for all steps."""

LTX_VIDEO_PARAMS = tuple(name for name in GUIDER_PARAMS["stg"] if name not in ("audio_cfg", "modality"))
"""Those that it has for LTX-Video, which makes no sound."""

COMFYUI_PARAMS = ("stg_scale", "rescale", "blocks")
"""Those that the comfyui engine has for every model on every core: of core's skip layer guidance."""

GuiderValue = bool | int | float | str | tuple[int, ...] | tuple[float, ...] | tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class PlannedGuider:
    """A guider by name; `params` sorted by name."""

    name: str = "cfg"
    params: tuple[tuple[str, GuiderValue], ...] = ()


@dataclass(frozen=True, slots=True)
class Sampling:
    """One run of a sampler. `sigmas`, where given, replace steps, shifts and denoise."""

    steps: int
    cfg: float
    sampler: str
    sigmas: tuple[float, ...] | None
    guider: PlannedGuider
    max_shift: float
    base_shift: float
    denoise: float = 1.0

    @property
    def steps_run(self) -> int:
        """Steps from noise level to noise level; some samplers look at the clip twice in each."""
        return self.steps if self.sigmas is None else len(self.sigmas) - 1

    @property
    def denoises(self) -> bool:
        """False where a second pass only upsamples."""
        return self.sigmas is not None or (self.steps > 0 and self.denoise > 0)


@dataclass(frozen=True, slots=True)
class GuideUse:
    """A guide image in a sampled clip, or the first frame of a held clip: `frame` counts from the sampled
    clip's first frame."""

    frame: int
    strength: float
    image_strength: float
