"""A pass over one chunk in latents: Generate or Extend at base size, and again at twice the size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

import numpy as np

from actors.chain import Weights, extend_artifact, tail_of
from actors.engines.base import AUDIO, Arriving, Engine, LatentsElsewhere, when_landed
from actors.engines.pieces import PassSound, Piece
from actors.payload import Payload
from actors.verify_output import bad_output
from jobs.frames import ChunkSpan, blend_weights, frames_of, takeover_weights

if TYPE_CHECKING:
    from jobs.planning.params import GuideUse, PassParams, StageParams

Inputs = Mapping[str, Sequence[Payload]]


def run_pass(params: StageParams, inputs: Inputs, engine: Engine) -> Payload | Arriving:
    """The artifact of a chunk: `latents` `[1, C, o + n, h, w]`, the chain as it stands after the chunk, and
    its `audio_latents`.

    Roles: `conditioning`, but for a pass that only upsamples; `latents` of the pass before; `guide` in the
    order of `params.guides`; `previous` where the chunk goes on from the one before it; `audio`.
    """
    params = cast("PassParams", params)
    tail = previous_tail(inputs, params.span.overlap)
    conditioning, before = only(inputs, "conditioning"), only(inputs, "latents")
    start = engine.upsample(before, params.upsampling) if before and params.upsampling else None
    if conditioning is None:
        assert before is not None
        assert start is not None
        raw = _with_sound_of(before, start)
    else:
        pieces = [Piece(start, hold=0.0), *_held(params, inputs, tail)]
        raw = engine.denoise(params, pieces, _sound(params, inputs, tail), conditioning)
    weights = takeover_weights if params.replaced else blend_weights
    return when_landed(raw, lambda raw: join(raw, tail, params.span, weights))


def _held(params: PassParams, inputs: Inputs, tail: Payload | None) -> list[Piece]:
    """The chain's end at the head of the clip, and the guides at their places."""
    pieces = []
    if tail is not None:
        kept = np.ascontiguousarray(tail["latents"][:, :, : params.span.overlap - params.replaced])
        strength = params.overlap_strength
        pieces.append(Piece(Payload({"latents": kept}), 0, strength, strength))
    frames = frames_of(params.span.sampled)
    guides = zip(inputs.get("guide", ()), params.guides, strict=True)
    return [*pieces, *(_guide(payload, use, frames) for payload, use in guides)]


def _guide(latents: Payload, use: GuideUse, frames: int) -> Piece:
    """A negative frame counts from the end of the clip."""
    frame = use.frame if use.frame >= 0 else frames + use.frame
    return Piece(latents, frame, use.strength * use.image_strength, use.strength)


def _sound(params: PassParams, inputs: Inputs, tail: Payload | None) -> PassSound:
    heard = only(inputs, "audio") or only(inputs, "latents")
    latents = heard[AUDIO] if heard is not None and AUDIO in heard else None
    if params.audio_mode in ("condition", "hold") and latents is not None:
        return PassSound(latents, held=True)
    return PassSound(latents, before=tail[AUDIO] if tail is not None and AUDIO in tail else None)


def _with_sound_of(before: Payload, start: Payload | LatentsElsewhere) -> Payload | Arriving:
    made = start if isinstance(start, Payload) else start.send()
    sound = {AUDIO: before[AUDIO]} if AUDIO in before else {}
    return when_landed(made, lambda landed: Payload({**landed.arrays, **sound}, landed.meta))


def previous_tail(inputs: Inputs, overlap: int) -> Payload | None:
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


def only(inputs: Inputs, role: str) -> Payload | None:
    """The one payload of an optional role."""
    found = inputs.get(role, ())
    return found[0] if found else None
