"""A pass over one chunk in latents: Generate or Extend at base size, and again upscaled."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from actors.chain import Weights, extend_artifact, tail_of
from actors.engines.base import AUDIO, Arriving, Engine, LatentsElsewhere, when_landed
from actors.engines.pieces import PassSound, Piece
from actors.payload import Payload
from actors.steps.joints import first_pass, held_stills
from actors.steps.retakes import partly_heard, partly_held
from actors.steps.roles import Inputs, only
from actors.steps.slots import half_size, slot_pieces, with_stills
from actors.verify_output import bad_output
from jobs.frames import ChunkSpan, blend_weights, frames_of, takeover_weights

if TYPE_CHECKING:
    from jobs.planning.params import PassParams, StageParams
    from jobs.planning.retakes.params import PartlyMade
    from jobs.planning.sampling import GuideUse


def run_pass(params: StageParams, inputs: Inputs, engine: Engine) -> Payload | Arriving:
    """The artifact of a chunk: `latents` `[1, C, o + n, h, w]`, the chain as it stands after the chunk, and
    its `audio_latents`.

    Roles: `conditioning`, but for a pass that only upsamples; `latents` of the pass before, of one chunk or
    those of `params.excerpt`; `guide` in the order of `params.guides`, `reference` in that of
    `params.references`; `previous` where the chunk goes on from the one before it; `audio`. An excerpt has
    an unusable slot 0, but for the first of its shot. A retake is made from the `source` alone. Where there
    are `params.slots` or `params.keyframes` the artifact has `keyframes` `[1, C, K, h, w]`, too.
    """
    params = cast("PassParams", params)
    if params.retake is not None:
        return _retake(params, params.retake, inputs, engine)
    tail = previous_tail(inputs, params.span.overlap)
    conditioning, before = only(inputs, "conditioning"), first_pass(params, inputs)
    stills = held_stills(params, inputs, engine)
    start = engine.upsample(before, params.upsampling) if before and params.upsampling else None
    if conditioning is None:
        assert before is not None
        assert start is not None
        raw = _with_sound_of(before, start)
    else:
        held = [*stills, *_held(params, inputs, tail)]
        beside = [*slot_pieces(params, before, engine), *half_size(params, before, inputs)]
        pieces = [Piece(start, hold=0.0), *held, *_references(params, inputs), *beside]
        sound = _sound(params, only(inputs, "audio") or before, tail)
        raw = with_stills(params, engine.denoise(params, pieces, sound, conditioning), held)
        if before is not None and params.excerpt is not None and params.audio_mode == "hold":
            raw = _with_sound_of(before, raw)
    weights = takeover_weights if params.replaced else blend_weights
    return when_landed(raw, lambda raw: join(raw, tail, params.span, weights))


def _retake(params: PassParams, part: PartlyMade, inputs: Inputs, engine: Engine) -> Payload | Arriving:
    """The whole clip, of which what is held is the source's bit for bit."""
    source, conditioning = only(inputs, "source"), only(inputs, "conditioning")
    assert source is not None
    assert conditioning is not None
    heard = partly_heard(part, only(inputs, "audio") or source, params.frame_rate)
    return engine.denoise(params, [partly_held(part, source)], heard, conditioning)


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


def _references(params: PassParams, inputs: Inputs) -> list[Piece]:
    looked_at = zip(inputs.get("reference", ()), params.references, strict=True)
    return [
        Piece(latents, 0, use.strength, use.attention, scale=use.scale, reference=True)
        for latents, use in looked_at
    ]


def _sound(params: PassParams, heard: Payload | None, tail: Payload | None) -> PassSound:
    latents = heard[AUDIO] if heard is not None and AUDIO in heard else None
    if params.audio_mode in ("condition", "hold") and latents is not None:
        return PassSound(latents, held=True)
    return PassSound(latents, before=tail[AUDIO] if tail is not None and AUDIO in tail else None)


def _with_sound_of(before: Payload, clip: Payload | Arriving | LatentsElsewhere) -> Payload | Arriving:
    """The clip with all the sound of the pass before, of which it may have heard a part."""
    made = clip if isinstance(clip, Payload | Arriving) else clip.send()
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
