"""Decode: one window of the chain to pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import numpy as np

from actors.chain import gather
from actors.engines.base import Arriving, Engine, on_host
from actors.payload import Payload
from actors.steps.roles import only
from actors.steps.sound import SoundSamples
from actors.verify_output import bad_output
from jobs.frames import TEMPORAL, frames_of, frames_of_latents

if TYPE_CHECKING:
    from actors.engines.base import FramesElsewhere
    from jobs.frames import Span
    from jobs.planning.params import DecodeParams, StageParams

FIRST_FRAME_KEY = "first_frame"
"""Metadata of decoded frames: the number of the first one in its shot."""


def decode(
    params: StageParams, inputs: Mapping[str, Sequence[Payload]], engine: Engine
) -> Payload | Arriving:
    """`frames` uint8 `[F, H, W, 3]` of the window, decoded with its context, the context cut away before
    anything leaves the device; none where no frame is kept, and only sound is decoded.

    Roles: `latents`, in chain order, one per entry of `params.spans`; `sound`, the chunk's first pass, where
    temporal rounds made the latents: the first of the chunk's windows has it, for all of them.
    """
    params = cast("DecodeParams", params)
    window = params.window
    artifacts = inputs["latents"]
    kept = (
        pictures(params, artifacts, engine)
        if window.keep
        else np.empty((0, params.height, params.width, 3), np.uint8)
    )
    rest = Payload({}, {FIRST_FRAME_KEY: str(frames_of_latents(window.window).start)})
    if params.sound is not None:
        rest = _with_sound(rest, params, params.sound, only(inputs, "sound") or artifacts[params.own], engine)
    if isinstance(kept, np.ndarray):
        return Payload({"frames": np.ascontiguousarray(kept), **rest.arrays}, rest.meta)
    flight = kept.send()
    return Arriving(lambda: Payload({"frames": flight.land(), **rest.arrays}, rest.meta))


def pictures(
    params: DecodeParams, artifacts: Sequence[Payload], engine: Engine
) -> np.ndarray | FramesElsewhere:
    """The frames of the window, in host memory or still on the device; `artifacts` are those of `latents`."""
    window = params.window
    clip = gather([payload["latents"] for payload in artifacts], params.spans, window.context)
    decoded = engine.decode(params, Payload({"latents": clip}))
    wanted = frames_of(clip.shape[2])
    if len(decoded) != wanted:
        message = f"the decoder made {len(decoded)} frames of {clip.shape[2]} latents, {wanted} were due"
        raise bad_output(message, Payload({"frames": on_host(decoded)}))
    return decoded[window.keep.start : window.keep.stop]


def _with_sound(
    payload: Payload, params: DecodeParams, made_for: Span, own: Payload, engine: Engine
) -> Payload:
    """The chunk's own audio latents span the clip that was sampled with them, slot 0 included, at the rate of
    the passes."""
    passes = (
        replace(params, frame_rate=params.frame_rate / params.temporal) if params.temporal > 1 else params
    )
    samples, rate = engine.decode_sound(passes, own)
    sound = SoundSamples.of_clip(samples, rate, TEMPORAL * made_for.start, passes.frame_rate)
    shown = params.heard or params.window.window
    return sound.cut(frames_of_latents(shown), params.frame_rate).add_to(payload)
