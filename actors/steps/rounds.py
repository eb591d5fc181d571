"""Temporal rounds of a chunk: its canvas, upsampled in time, and the tiles in which that is denoised."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from actors.engines.base import AUDIO, KEYFRAMES, Arriving, MakesRounds, when_landed
from actors.engines.pieces import PassSound, Piece
from actors.payload import Payload
from actors.steps.roles import Inputs, only
from actors.steps.slots import one_of
from jobs.errors import InvalidInput
from jobs.frames import TEMPORAL

if TYPE_CHECKING:
    from actors.engines.base import Engine
    from jobs.planning.rounds.params import CanvasParams, TileParams


def make_canvas(params: CanvasParams, inputs: Inputs, engine: Engine) -> Payload | Arriving:
    """`latents` `[1, C, 2 T - 1, h, w]`, the clip of a chunk upsampled in time, and the `keyframes`
    `[1, C, K, h, w]` that its tiles hold.

    Roles: `latents`, the second pass or the tiles of the round before, in order; `carried`, the canvas of
    that round.
    """
    parts = inputs["latents"]
    clip = np.concatenate([part["latents"] for part in parts], axis=2)
    made = _of_rounds(engine).interpolate(Payload({"latents": clip}))
    keyframes = np.concatenate([part[KEYFRAMES] for part in parts], axis=2)
    carried = only(inputs, "carried")
    if carried is not None:
        keyframes = _alternating(carried[KEYFRAMES], keyframes, params.starts_at_seam)
    return when_landed(made, lambda raw: Payload({**raw.arrays, KEYFRAMES: keyframes}, raw.meta))


def denoise_tile(params: TileParams, inputs: Inputs, engine: Engine) -> Payload | Arriving:
    """`latents` of a tile without its run-up, and as `keyframes` its slots without those of the run-up, which
    the tile before it makes.

    Roles: `canvas`, `conditioning`, `guide` in the order of `params.guides`; `sound`, the artifact whose
    `audio_latents` are heard.
    """
    tile, canvas = params.tile, inputs["canvas"][0]
    part = canvas["latents"][:, :, tile.span.start : tile.span.stop]
    clip, carried = Payload({"latents": np.ascontiguousarray(part)}), Payload({"latents": canvas[KEYFRAMES]})
    guides = [
        Piece(latents, use.frame, use.strength * use.image_strength, use.strength)
        for latents, use in zip(inputs.get("guide", ()), params.guides, strict=True)
    ]
    # An anchor stands beside the clip also at its frame 0, whose latent is made anew.
    anchors = [
        Piece(one_of(carried, number), frame, params.anchored, reference=True)
        for number, frame in enumerate(tile.anchors, tile.carried.start)
    ]
    slots = [Piece(one_of(clip, frame // TEMPORAL), frame, 0.0, marked=True) for frame in tile.slots]
    pieces = [Piece(clip, hold=0.0), *guides, *anchors, *slots]
    raw = _of_rounds(engine).refine(params, pieces, _sound(inputs), inputs["conditioning"][0])
    return when_landed(raw, lambda raw: _without_run_up(params, raw))


def _sound(inputs: Inputs) -> PassSound:
    sound = only(inputs, "sound")
    heard = sound[AUDIO] if sound is not None and AUDIO in sound else None
    return PassSound(heard, held=heard is not None)


def _without_run_up(params: TileParams, raw: Payload) -> Payload:
    latents = raw["latents"][:, :, params.tile.ramp :]
    slots = raw[KEYFRAMES][:, :, params.tile.first_slot :]
    own = {"latents": np.ascontiguousarray(latents), KEYFRAMES: np.ascontiguousarray(slots)}
    return Payload({**raw.arrays, **own}, raw.meta)


def _alternating(carried: np.ndarray, slots: np.ndarray, carried_first: bool) -> np.ndarray:
    """Stills in the order of their frames: the round before made one between every two that it held."""
    count = carried.shape[2] + slots.shape[2]
    stills = np.empty((*carried.shape[:2], count, *carried.shape[3:]), carried.dtype)
    stills[:, :, int(not carried_first) :: 2] = carried
    stills[:, :, int(carried_first) :: 2] = slots
    return stills


def _of_rounds(engine: Engine) -> MakesRounds:
    if not isinstance(engine, MakesRounds):
        raise InvalidInput(
            f"the {engine.name} engine makes no temporal rounds: use diffusers, or write `temporal: 0`"
        )
    return engine
