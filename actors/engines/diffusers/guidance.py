"""Guiders: how conditional, unconditional and perturbed predictions become one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from torch import Tensor

from jobs.errors import InvalidInput
from jobs.params import GUIDER_PARAMS


class Pass(StrEnum):
    """One run of the transformer within a step."""

    POSITIVE = "positive"
    NEGATIVE = "negative"
    PERTURBED = "perturbed"


class Predict(Protocol):
    """Denoised clips `[1, C, T, h, w]` of the passes asked for, in that order."""

    def __call__(self, *passes: Pass) -> list[Tensor]: ...


Guider = Callable[[Predict], Tensor]


@dataclass(frozen=True)
class CfgGuider:
    """Classifier-free guidance (Ho and Salimans, 2022): negative + scale x (positive - negative)."""

    scale: float

    def __call__(self, predict: Predict) -> Tensor:
        if self.scale == 1.0:
            return predict(Pass.POSITIVE)[0]
        return _guided(self.scale, *predict(Pass.POSITIVE, Pass.NEGATIVE))


@dataclass(frozen=True)
class StgGuider:
    """Spatio-temporal guidance (Hyung et al., 2024) on top of CFG.

    `stg` scales the push away from the prediction whose self-attention passes its values through in some
    blocks; `rescale` in [0, 1] pulls the standard deviation back to that of the positive prediction.
    """

    scale: float
    stg: float
    rescale: float

    def __call__(self, predict: Predict) -> Tensor:
        positive, *negative = predict(Pass.POSITIVE, *([Pass.NEGATIVE] if self.scale != 1.0 else []))
        guided = _guided(self.scale, positive, *negative) if negative else positive
        if self.stg:
            guided = guided + self.stg * (positive - predict(Pass.PERTURBED)[0])
        if self.rescale:
            ratio = positive.std() / guided.std()
            guided = guided * (self.rescale * ratio + (1 - self.rescale))
        return guided


def _guided(scale: float, positive: Tensor, negative: Tensor) -> Tensor:
    return negative + (positive - negative) * scale


@dataclass(frozen=True)
class Guidance:
    """A guider and the blocks that its perturbed pass skips."""

    guider: Guider
    skipped_blocks: frozenset[int] = frozenset()


def make_guidance(name: str, cfg: float, params: Mapping[str, object], layers: int) -> Guidance:
    """The guider of a job spec: `cfg`, or `stg` with `stg_scale`, `rescale`, `blocks` (default: the middle).

    Raises `InvalidInput` for a name, parameter or block that does not exist.
    """
    if name == "cfg":
        _only(name, params, ())
        return Guidance(CfgGuider(cfg))
    if name == "stg":
        _only(name, params, GUIDER_PARAMS["stg"])
        blocks = _blocks(params.get("blocks", layers // 2), layers)
        stg = StgGuider(cfg, _number(params, "stg_scale", 1.0), _number(params, "rescale", 0.7))
        return Guidance(stg, blocks)
    raise InvalidInput(f"there is no guider {name!r} in the diffusers engine; use cfg or stg")


def _only(name: str, params: Mapping[str, object], allowed: tuple[str, ...]) -> None:
    for key in params:
        if key not in allowed:
            known = ", ".join(allowed) or "none"
            raise InvalidInput(f"guider {name} has no parameter {key!r}; its parameters: {known}")


def _number(params: Mapping[str, object], key: str, default: float) -> float:
    value = params.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidInput(f"guider parameter {key} is {value!r}; write a number")
    return float(value)


def _blocks(value: object, layers: int) -> frozenset[int]:
    indices = value if isinstance(value, list | tuple) else [value]
    for index in indices:
        if not isinstance(index, int) or not 0 <= index < layers:
            raise InvalidInput(
                f"guider parameter blocks names {index!r}; this model has blocks 0 to {layers - 1}"
            )
    return frozenset(indices)
