"""Guiders: how predictions with and without the prompt, with blocks skipped and with picture and sound apart
become one.

On what is denoised, as ComfyUI's core and `MultiModalGuider` of Lightricks' ltx-core have it:
negative + cfg (positive - negative) + stg (positive - perturbed) + (modality - 1)(positive - apart), then
scaled so that its deviation comes near that of the positive one by the share `rescale`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from actors.engines.diffusers.sequence import groups_for
from jobs.errors import InvalidInput
from jobs.planning.sampling import LTX2_PARAMS, LTX_VIDEO_PARAMS, Sampling

if TYPE_CHECKING:
    from actors.ranks import Ranks

Sides = tuple[Tensor, ...]
"""The picture, and behind it the sound where the model makes it."""


class Forward(StrEnum):
    """One run of the transformer within a step: with the prompt, with the negative one, with self-attention
    skipped in some blocks (STG), and with picture and sound apart from each other."""

    POSITIVE = "positive"
    NEGATIVE = "negative"
    PERTURBED = "perturbed"
    APART = "apart"


class Predict(Protocol):
    """What is denoised by the forwards that are asked for, in that order."""

    def __call__(self, *which: Forward) -> list[Sides]: ...


@dataclass(frozen=True)
class GuiderStep:
    """What guidance does at one noise level.

    `cfg` scales the prompt, for each side on its own (Ho and Salimans, 2022), `stg` the push away from the
    prediction whose self-attention passes its values through in `blocks` (Hyung et al., 2024), `modality` the
    push away from the one whose sides do not hear of each other; `rescale` in [0, 1] pulls the standard
    deviation back to that of the positive prediction.
    """

    cfg: tuple[float, ...]
    stg: float = 0.0
    modality: float = 1.0
    rescale: float = 0.0
    blocks: frozenset[int] = frozenset()

    @property
    def forwards(self) -> tuple[Forward, ...]:
        """Those that the step needs, in the order in which they are computed."""
        wanted = {
            Forward.POSITIVE: True,
            Forward.NEGATIVE: any(scale != 1.0 for scale in self.cfg),
            Forward.PERTURBED: self.stg != 0.0,
            Forward.APART: self.modality != 1.0,
        }
        return tuple(which for which, needed in wanted.items() if needed)


@dataclass(frozen=True)
class Guidance:
    """A guider with other scales from level to level: `steps[i]` counts from the first of `levels` that is
    not above sigma.

    Standard deviation and projection are those of what is denoised, or of its velocity where `velocity` is
    set, as in Lightricks' LTX-Video. `star` projects the negative prediction onto the positive one first
    (CFG-Zero*, Fan et al., 2025).
    """

    steps: tuple[GuiderStep, ...]
    levels: tuple[float, ...] = ()
    velocity: bool = False
    star: bool = False

    @classmethod
    def plain(cls, *cfg: float) -> Guidance:
        """Classifier-free guidance, one scale a side; 1 is none."""
        return cls((GuiderStep(cfg),))

    def at(self, sigma: Tensor | float) -> GuiderStep:
        """What holds at `sigma`; below the last level, the last."""
        reached = (i for i, level in enumerate(self.levels) if level <= sigma)
        return self.steps[next(reached, -1)]

    def __call__(self, predict: Predict, x: Sides, sigma: Tensor) -> Sides:
        """Guides one step: `x` is what is noisy, `sigma` `[]` its noise level on the CPU."""
        step = self.at(sigma)
        if not self.velocity:
            return self._combined(step, predict)

        def velocities(*which: Forward) -> list[Sides]:
            found = predict(*which)
            return [tuple((a - b) / sigma for a, b in zip(x, each, strict=True)) for each in found]

        slopes = self._combined(step, velocities)
        return tuple(a - sigma * slope for a, slope in zip(x, slopes, strict=True))

    def _combined(self, step: GuiderStep, predict: Predict) -> Sides:
        others = dict(zip(step.forwards, predict(*step.forwards), strict=True))
        positive = others[Forward.POSITIVE]
        return tuple(
            self._guided(step, cfg, positive[side], {which: sides[side] for which, sides in others.items()})
            for side, cfg in enumerate(step.cfg)
        )

    def _guided(
        self, step: GuiderStep, cfg: float, positive: Tensor, others: Mapping[Forward, Tensor]
    ) -> Tensor:
        guided = positive
        if Forward.NEGATIVE in others:
            negative = others[Forward.NEGATIVE]
            negative = _projected(negative, positive) if self.star else negative
            guided = negative + (positive - negative) * cfg
        if Forward.PERTURBED in others:
            guided = guided + step.stg * (positive - others[Forward.PERTURBED])
        if Forward.APART in others:
            guided = guided + (step.modality - 1.0) * (positive - others[Forward.APART])
        if step.rescale:
            ratio = positive.std() / guided.std()
            guided = guided * (step.rescale * ratio + (1 - step.rescale))
        return guided


def shared(
    ranks: Ranks | None,
    forwards: Sequence[Forward],
    run: Callable[[Sequence[Forward], Ranks | None], list[Sides]],
    like: Sides,
    size: tuple[int, int],
) -> list[Sides]:
    """What `run` makes of the forwards, sides like `like` in float32.

    In a gang each group of ranks runs its share of them, one after the other, and all have the results of
    all; `run` gets the ranks among which to split the tokens of each forward, where there are several.
    `size` are the heads of the model and the tokens of its sequence.
    """
    if ranks is None:
        return run(forwards, None)
    sizes = [side.numel() for side in like]
    groups = groups_for(ranks.size, len(forwards), *size)
    each = ranks.size // groups
    group, part = ranks.divided(each) if each > 1 else (ranks.rank, None)
    if groups == 1:
        return run(forwards, part)
    mine = [torch.cat([side.flatten() for side in made]) for made in run(forwards[group::groups], part)]
    sent = like[0].new_zeros((-(-len(forwards) // groups), sum(sizes)))
    for place, made in zip(sent, mine, strict=False):
        place.copy_(made)
    every = ranks.gathered(sent)
    found = (every[at % groups * each][at // groups].split(sizes) for at in range(len(forwards)))
    return [tuple(part.view_as(side) for part, side in zip(parts, like, strict=True)) for parts in found]


def _projected(negative: Tensor, positive: Tensor) -> Tensor:
    """`negative`, scaled to the length at which it is nearest to `positive`."""
    return negative * ((positive * negative).sum() / ((negative**2).sum() + 1e-8))


def make_guidance(sampling: Sampling, layers: int, sound: bool = False) -> Guidance:
    """The guider of a job spec: `cfg`, or `stg` with the parameters of `LTX_VIDEO_PARAMS`, or of
    `LTX2_PARAMS` for a model that makes `sound`.

    With LTX-Video a scale is a number, or a list with one for each of `levels`; `blocks` a list of
    transformer blocks, or a list of such lists (default: the middle). Raises `InvalidInput` for a name,
    parameter or block that does not exist, or a list of another length.
    """
    name, cfg, params = sampling.guider.name, sampling.cfg, dict(sampling.guider.params)
    if name == "cfg":
        _only(name, params, ())
        return Guidance.plain(cfg, cfg) if sound else Guidance.plain(cfg)
    if name != "stg":
        raise InvalidInput(f"there is no guider {name!r} in the diffusers engine; use cfg or stg")
    _only(name, params, LTX2_PARAMS if sound else LTX_VIDEO_PARAMS)
    return _stg_with_sound(cfg, params, layers) if sound else _stg(cfg, params, layers)


def _stg(cfg: float, params: Mapping[str, object], layers: int) -> Guidance:
    levels = _numbers(params, "levels", ())
    count = len(levels) or 1
    cfgs, stgs, rescales = (
        _each(count, key, _numbers(params, key, default))
        for key, default in (("cfg", cfg), ("stg_scale", 1.0), ("rescale", 0.7))
    )
    blocks = _each(count, "blocks", _block_lists(params.get("blocks", layers // 2), layers))
    steps = tuple(
        GuiderStep((scale,), stg, rescale=rescale, blocks=skipped)
        for scale, stg, rescale, skipped in zip(cfgs, stgs, rescales, blocks, strict=True)
    )
    velocity, star = params.get("space") == "velocity", params.get("cfg_star_rescale") is True
    return Guidance(steps, levels, velocity, star)


def _stg_with_sound(cfg: float, params: Mapping[str, object], layers: int) -> Guidance:
    scales = {"audio_cfg": cfg, "stg_scale": 1.0, "modality": 1.0, "rescale": 0.7}
    audio, stg, modality, rescale = (
        _each(1, key, _numbers(params, key, default))[0] for key, default in scales.items()
    )
    blocks = _blocks(params.get("blocks", layers * 3 // 5), layers)
    return Guidance((GuiderStep((cfg, audio), stg, modality, rescale, blocks),))


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
            raise InvalidInput(f"guider {name} has no parameter {key!r} here; its parameters: {known}")


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
        if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < layers:
            raise InvalidInput(
                f"guider parameter blocks names {index!r}; this model has blocks 0 to {layers - 1}"
            )
    return frozenset(indices)
