"""Guidance of picture and sound together: up to four forwards a step, one after the other.

As `MultiModalGuider` of Lightricks' ltx-core: on denoised latents,
positive + (cfg - 1)(positive - negative) + stg (positive - perturbed) + (modality - 1)(positive - apart),
then scaled so that its deviation comes near that of the positive one by the share `rescale`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from torch import Tensor

from jobs.errors import InvalidInput
from jobs.planning.params import LTX2_PARAMS

Denoised = tuple[Tensor, Tensor]
"""Tokens of the picture `[1, N, C]` and of the sound `[1, t, C]`."""


class Forward(StrEnum):
    """One run of the transformer within a step: with the prompt, with the negative one, with self-attention
    skipped in some blocks (STG), and with picture and sound apart from each other."""

    POSITIVE = "positive"
    NEGATIVE = "negative"
    PERTURBED = "perturbed"
    APART = "apart"


class Predict(Protocol):
    def __call__(self, which: Forward) -> Denoised: ...


@dataclass(frozen=True)
class Guider:
    """Scales of guidance; the defaults run the transformer once a step. `blocks` are those that STG skips."""

    cfg: float = 1.0
    audio_cfg: float = 1.0
    stg: float = 0.0
    modality: float = 1.0
    rescale: float = 0.0
    blocks: tuple[int, ...] = ()

    @classmethod
    def of(cls, name: str, cfg: float, params: Mapping[str, object], layers: int) -> Guider:
        """The guider of a job spec. Raises `InvalidInput` for one that LTX-2 does not have."""
        if name == "cfg":
            return cls(cfg, cfg)
        unknown = [key for key in params if key not in LTX2_PARAMS]
        if unknown:
            raise InvalidInput(f"LTX-2 has no guider parameter {unknown[0]!r}; use {', '.join(LTX2_PARAMS)}")
        blocks = _blocks(params.get("blocks", layers * 3 // 5), layers)
        return cls(
            cfg,
            _number(params, "audio_cfg", cfg),
            _number(params, "stg_scale", 1.0),
            _number(params, "modality", 1.0),
            _number(params, "rescale", 0.7),
            blocks,
        )

    def __call__(self, predict: Predict) -> Denoised:
        positive = predict(Forward.POSITIVE)
        others: dict[Forward, Denoised] = {}
        if self.cfg != 1.0 or self.audio_cfg != 1.0:
            others[Forward.NEGATIVE] = predict(Forward.NEGATIVE)
        if self.stg:
            others[Forward.PERTURBED] = predict(Forward.PERTURBED)
        if self.modality != 1.0:
            others[Forward.APART] = predict(Forward.APART)
        if not others:
            return positive
        video, audio = (
            self._combined(positive[side], {which: found[side] for which, found in others.items()}, cfg)
            for side, cfg in enumerate((self.cfg, self.audio_cfg))
        )
        return video, audio

    def _combined(self, positive: Tensor, others: Mapping[Forward, Tensor], cfg: float) -> Tensor:
        scales = {
            Forward.NEGATIVE: cfg - 1.0,
            Forward.PERTURBED: self.stg,
            Forward.APART: self.modality - 1.0,
        }
        guided = positive
        for which, other in others.items():
            guided = guided + scales[which] * (positive - other)
        if self.rescale:
            ratio = positive.std() / guided.std()
            guided = guided * (self.rescale * ratio + (1.0 - self.rescale))
        return guided


def _number(params: Mapping[str, object], key: str, default: float) -> float:
    value = params.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidInput(f"guider parameter {key} is {value!r}; LTX-2 takes one number for all levels")
    return float(value)


def _blocks(value: object, layers: int) -> tuple[int, ...]:
    indices = value if isinstance(value, list | tuple) else (value,)
    for index in indices:
        if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < layers:
            raise InvalidInput(
                f"guider parameter blocks names {index!r}; this model has blocks 0 to {layers - 1}"
            )
    return tuple(indices)
