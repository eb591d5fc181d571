"""Upscale: one chunk at twice the width and height, a second chain in the graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np

from actors.engines.base import Engine
from actors.payload import Payload
from actors.steps.sample import join, only, previous_tail
from jobs.frames import informed, takeover_weights
from jobs.graph import StageParams, UpscaleParams


def upscale(params: StageParams, inputs: Mapping[str, Sequence[Payload]], engine: Engine) -> Payload:
    """The 2x artifact on the same span as the sampled one.

    Roles: `latents`; `conditioning` where it is re-sampled; `previous` (the 2x artifact before it) where it
    is guided, which guides the re-sampling as far as it knew what follows, and is blended. An unguided chunk
    is joined by its pixels alone.
    """
    params = cast(UpscaleParams, params)
    tail = previous_tail(inputs, params.span.overlap)
    raw = engine.upscale(params, inputs["latents"][0], only(inputs, "conditioning"), _guide(tail, params))
    return join(raw, tail, params.span, takeover_weights)


def _guide(tail: Payload | None, params: UpscaleParams) -> Payload | None:
    if tail is None:
        return None
    latents = np.ascontiguousarray(tail["latents"][:, :, : informed(params.span.overlap)])
    return Payload({**tail.arrays, "latents": latents}, tail.meta)
