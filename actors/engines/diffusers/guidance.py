"""Guiders: how conditional, unconditional and perturbed predictions become one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from jobs.errors import InvalidInput
from jobs.planning.params import LTX_VIDEO_PARAMS

if TYPE_CHECKING:
    from torch import Tensor


class Pass(StrEnum):
    """One run of the transformer within a step."""

    POSITIVE = "positive"
    NEGATIVE = "negative"
    PERTURBED = "perturbed"


class Predict(Protocol):
    """Denoised clips `[1, C, T, h, w]` of the passes asked for, in that order."""

    def __call__(self, *passes: Pass) -> list[Tensor]: ...


class Guider(Protocol):
    """Guides one step: `x` is the noisy clip `[1, C, T, h, w]`, `sigma` `[]` its noise level on the CPU."""

    def __call__(self, predict: Predict, x: Tensor, sigma: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class CfgGuider:
    """Classifier-free guidance (Ho and Salimans, 2022): negative + scale x (positive - negative)."""

    scale: float

    def __call__(self, predict: Predict, x: Tensor, sigma: Tensor) -> Tensor:
        if self.scale == 1.0:
            return predict(Pass.POSITIVE)[0]
        return _guided(self.scale, *predict(Pass.POSITIVE, Pass.NEGATIVE))


@dataclass(frozen=True)
class StgStep:
    """What spatio-temporal guidance does at one noise level.

    `cfg` scales the prompt, `stg` the push away from the prediction whose self-attention passes its values
    through in `blocks`; `rescale` in [0, 1] pulls the standard deviation back to that of the positive
    prediction.
    """

    cfg: float
    stg: float
    rescale: float
    blocks: frozenset[int]


@dataclass(frozen=True)
class StgGuider:
    """Spatio-temporal guidance (Hyung et al., 2024) on top of CFG, with other scales from level to level.

    `steps[i]` counts from the first of `levels` that is not above sigma. Standard deviation and projection
    are those of the denoised clip, or of its velocity where `velocity` is set, as at Lightricks. `star`
    projects the negative prediction onto the positive one first (CFG-Zero*, Fan et al., 2025).
    """

    steps: tuple[StgStep, ...]
    levels: tuple[float, ...] = ()
    velocity: bool = False
    star: bool = False

    def at(self, sigma: Tensor) -> StgStep:
        """What holds at `sigma`; below the last level, the last."""
        reached = (i for i, level in enumerate(self.levels) if level <= sigma)
        return self.steps[next(reached, -1)]

    def __call__(self, predict: Predict, x: Tensor, sigma: Tensor) -> Tensor:
        step = self.at(sigma)
        if not self.velocity:
            return self._combined(step, predict)

        def velocities(*passes: Pass) -> list[Tensor]:
            return [(x - denoised) / sigma for denoised in predict(*passes)]

        return x - sigma * self._combined(step, velocities)

    def _combined(self, step: StgStep, predict: Predict) -> Tensor:
        positive, *negative = predict(Pass.POSITIVE, *([Pass.NEGATIVE] if step.cfg != 1.0 else []))
        guided = positive
        if negative:
            other = _projected(negative[0], positive) if self.star else negative[0]
            guided = _guided(step.cfg, positive, other)
        if step.stg:
            guided = guided + step.stg * (positive - predict(Pass.PERTURBED)[0])
        if step.rescale:
            ratio = positive.std() / guided.std()
            guided = guided * (step.rescale * ratio + (1 - step.rescale))
        return guided


def _guided(scale: float, positive: Tensor, negative: Tensor) -> Tensor:
    return negative + (positive - negative) * scale


def _projected(negative: Tensor, positive: Tensor) -> Tensor:
    """`negative`, scaled to the length at which it is nearest to `positive`."""
    return negative * ((positive * negative).sum() / ((negative**2).sum() + 1e-8))


@dataclass(frozen=True)
class Guidance:
    """A guider, and where it has one, the spatio-temporal one whose perturbed pass skips blocks."""

    guider: Guider

    def skipped_at(self, sigma: Tensor) -> frozenset[int]:
        """Blocks that the perturbed pass skips at this noise level."""
        return self.guider.at(sigma).blocks if isinstance(self.guider, StgGuider) else frozenset()


def make_guidance(name: str, cfg: float, params: Mapping[str, object], layers: int) -> Guidance:
    """The guider of a job spec: `cfg`, or `stg` with the parameters of `LTX_VIDEO_PARAMS`.

    A scale is a number, or a list with one for each of `levels`; `blocks` a list of transformer blocks, or a
    list of such lists (default: the middle). Raises `InvalidInput` for a name, parameter or block that does
    not exist, or a list of another length.
    """
    if name == "cfg":
        _only(name, params, ())
        return Guidance(CfgGuider(cfg))
    if name == "stg":
        _only(name, params, LTX_VIDEO_PARAMS)
        return Guidance(_stg(cfg, params, layers))
    raise InvalidInput(f"there is no guider {name!r} in the diffusers engine; use cfg or stg")


def _stg(cfg: float, params: Mapping[str, object], layers: int) -> StgGuider:
    levels = _numbers(params, "levels", ())
    count = len(levels) or 1
    scales = [
        _each(count, key, _numbers(params, key, default))
        for key, default in (("cfg", cfg), ("stg_scale", 1.0), ("rescale", 0.7))
    ]
    blocks = _each(count, "blocks", _block_lists(params.get("blocks", layers // 2), layers))
    steps = tuple(StgStep(*step) for step in zip(*scales, blocks, strict=True))
    velocity, star = params.get("space") == "velocity", params.get("cfg_star_rescale") is True
    return StgGuider(steps, levels, velocity, star)


def _each(count: int, key: str, values: tuple[Any, ...]) -> tuple[Any, ...]:
    """One value for each level."""
    if len(values) == 1:
        return values * count
    if len(values) != count:
        raise InvalidInput(f"guider parameter {key} has {len(values)} values; write one, or one per level")
    return values


def _only(name: str, params: Mapping[str, object], allowed: tuple[str, ...]) -> None:
    for key in params:
        if key not in allowed:
            known = ", ".join(allowed) or "none"
            raise InvalidInput(f"guider {name} has no parameter {key!r}; its parameters: {known}")


def _numbers(params: Mapping[str, object], key: str, default: float | tuple[float, ...]) -> tuple[float, ...]:
    value = params.get(key, default)
    values = value if isinstance(value, list | tuple) else (value,)
    for number in values:
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise InvalidInput(f"guider parameter {key} is {number!r}; write a number")
    return tuple(map(float, values))


def _block_lists(value: object, layers: int) -> tuple[frozenset[int], ...]:
    nested = isinstance(value, list | tuple) and any(isinstance(item, list | tuple) for item in value)
    lists: Any = value if nested else (value,)
    return tuple(_blocks(item, layers) for item in lists)


def _blocks(value: object, layers: int) -> frozenset[int]:
    indices = value if isinstance(value, list | tuple) else [value]
    for index in indices:
        if not isinstance(index, int) or not 0 <= index < layers:
            raise InvalidInput(
                f"guider parameter blocks names {index!r}; this model has blocks 0 to {layers - 1}"
            )
    return frozenset(indices)
