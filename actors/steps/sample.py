"""Sample: one Generate or Extend in latents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

import numpy as np

from actors.chain import Weights, extend_artifact, tail_of
from actors.engines.base import Arriving, Engine, when_landed
from actors.payload import Payload
from actors.verify_output import bad_output
from jobs.frames import ChunkSpan, blend_weights

if TYPE_CHECKING:
    from jobs.planning.params import SampleParams, StageParams


def sample(
    params: StageParams, inputs: Mapping[str, Sequence[Payload]], engine: Engine
) -> Payload | Arriving:
    """The artifact of a chunk: `latents` `[1, C, o + n, h, w]`, the chain as it stands after the chunk.

    Roles: `conditioning`, `guide` in the order of `params.guides`, `previous` for an extend, `audio`.
    """
    params = cast("SampleParams", params)
    tail = previous_tail(inputs, params.span.overlap)
    raw = engine.sample(
        params,
        inputs["conditioning"][0],
        list(inputs.get("guide", ())),
        tail,
        only(inputs, "audio"),
    )
    return when_landed(raw, lambda raw: join(raw, tail, params.span))


def previous_tail(inputs: Mapping[str, Sequence[Payload]], overlap: int) -> Payload | None:
    """The chain's last `overlap` latents with everything else that the previous artifact holds."""
    previous = only(inputs, "previous")
    if previous is None or overlap == 0:
        return None
    latents = np.ascontiguousarray(tail_of(previous["latents"], overlap))
    return Payload({**previous.arrays, "latents": latents}, previous.meta)


def join(raw: Payload, tail: Payload | None, span: ChunkSpan, weights: Weights = blend_weights) -> Payload:
    """The artifact from the raw clip and the chain's tail; without a tail the clip itself.

    Raises `BadOutput` where the raw clip has not the length of `span` or not the size of the tail.
    """
    if tail is None:
        return raw
    clip = raw["latents"].shape
    due = (*tail["latents"].shape[:2], span.sampled, *tail["latents"].shape[3:])
    if clip != due:
        raise bad_output(f"the engine made latents of the shape {clip}, due were {due}", raw)
    return Payload(
        {**raw.arrays, "latents": extend_artifact(tail["latents"], raw["latents"], weights)}, raw.meta
    )


def only(inputs: Mapping[str, Sequence[Payload]], role: str) -> Payload | None:
    """The one payload of an optional role."""
    found = inputs.get(role, ())
    return found[0] if found else None
