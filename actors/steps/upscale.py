"""Upscale: one chunk at twice the width and height, a second chain in the graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

import numpy as np

from actors.engines.base import Arriving, Engine, when_landed
from actors.payload import Payload
from actors.steps.sample import join, only, previous_tail
from jobs.frames import blend_weights, takeover_weights

if TYPE_CHECKING:
    from jobs.planning.params import StageParams, UpscaleParams


def upscale(
    params: StageParams, inputs: Mapping[str, Sequence[Payload]], engine: Engine
) -> Payload | Arriving:
    """The 2x artifact on the same span as the sampled one.

    Roles: `latents`; `conditioning` and `guide` where it is re-sampled; `previous` (the 2x artifact before
    it) where it is guided: its trusted latents guide the re-sampling, and the chain passes over from it to
    the new clip. An unguided chunk is joined by its pixels alone.
    """
    params = cast("UpscaleParams", params)
    tail = previous_tail(inputs, params.span.overlap)
    raw = engine.upscale(
        params,
        inputs["latents"][0],
        only(inputs, "conditioning"),
        list(inputs.get("guide", ())),
        _guide(tail, params),
    )
    weights = blend_weights if params.trusted == params.span.overlap else takeover_weights
    return when_landed(raw, lambda raw: join(raw, tail, params.span, weights))


def _guide(tail: Payload | None, params: UpscaleParams) -> Payload | None:
    if tail is None:
        return None
    latents = np.ascontiguousarray(tail["latents"][:, :, : params.trusted])
    return Payload({**tail.arrays, "latents": latents}, tail.meta)
