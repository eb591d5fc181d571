"""Keyframe slots of a pass: stills that the transformer makes beside its clip, for temporal rounds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from actors.engines.base import KEYFRAMES, Arriving, landed, when_landed
from actors.engines.pieces import Piece
from actors.payload import Payload
from actors.steps.roles import Inputs, only

if TYPE_CHECKING:
    from actors.engines.base import Engine, LatentsElsewhere
    from jobs.planning.params import PassParams


def slot_pieces(params: PassParams, before: Payload | None, engine: Engine) -> list[Piece]:
    """The slots of a pass: made from nothing, or over those of the pass before, upsampled as one clip.

    That pass has one at each of `params.keyframes` behind frame 0, also where something is held now.
    """
    if not params.slots or before is None or params.upsampling is None:
        return [Piece(None, frame, 0.0, marked=True) for frame in params.slots]
    larger = engine.upsample(Payload({"latents": before[KEYFRAMES]}), params.upsampling)
    seams = [frame for frame in params.keyframes if frame > 0]
    return [Piece(one_of(larger, seams.index(frame)), frame, 0.0, marked=True) for frame in params.slots]


def half_size(params: PassParams, before: Payload | None, inputs: Inputs) -> list[Piece]:
    """The pass before at its own size, as a reference beside a clip with keyframes.

    Slot 0 of an excerpt shows eight frames in a slot that decodes to one: the still that the chunk before
    ends with stands there.
    """
    if not params.keyframes or before is None or params.upsampling is None:
        return []
    latents, previous = before["latents"], only(inputs, KEYFRAMES)
    if previous is not None:
        latents = np.concatenate([previous[KEYFRAMES][:, :, -1:], latents[:, :, 1:]], axis=2)
    scale = int(params.upsampling.spatial)
    return [Piece(Payload({"latents": latents}), scale=scale, reference=True)]


def with_stills(params: PassParams, raw: Payload | Arriving, held: Sequence[Piece]) -> Payload | Arriving:
    """What a pass made, its `keyframes` those at `params.keyframes`: slots, and what is held there."""
    there = {piece.frame: piece for piece in held}
    kept = {frame: _sent(there[frame].latents) for frame in params.keyframes if frame not in params.slots}
    if not kept:
        return raw

    def whole(made: Payload) -> Payload:
        stills = {frame: landed(sent)["latents"] for frame, sent in kept.items()}
        stills |= {frame: made[KEYFRAMES][:, :, k : k + 1] for k, frame in enumerate(params.slots)}
        keyframes = np.concatenate([stills[frame] for frame in params.keyframes], axis=2)
        return Payload({**made.arrays, KEYFRAMES: keyframes}, made.meta)

    return when_landed(raw, whole)


def one_of(latents: Payload | LatentsElsewhere, number: int) -> Payload | LatentsElsewhere:
    """Latent `number` alone."""
    which = slice(number, number + 1)
    if not isinstance(latents, Payload):
        return latents[which]
    return Payload({"latents": np.ascontiguousarray(latents["latents"][:, :, which])})


def _sent(latents: Payload | LatentsElsewhere) -> Payload | Arriving:
    return latents if isinstance(latents, Payload) else latents.send()
