"""A second pass whose clips wait for no other: each is cut out of the chain of the first pass, and two
neighbours hold the same still where they meet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.chain import gather
from actors.engines.pieces import Piece
from actors.payload import Payload
from actors.steps.roles import Inputs, only
from actors.steps.seeding import seed_everything
from jobs.frames import TEMPORAL, still_window
from jobs.planning.seeds import derive_seed

if TYPE_CHECKING:
    from actors.engines.base import Engine
    from jobs.frames import Span
    from jobs.planning.params import Excerpt, PassParams


def first_pass(params: PassParams, inputs: Inputs) -> Payload | None:
    """What the pass is made over: the latents of its clip, with the sound of the chunk itself."""
    if params.excerpt is None:
        return only(inputs, "latents")
    own = inputs["latents"][params.excerpt.own]
    clip = _settled(params.excerpt, inputs, params.span.artifact)
    return Payload({**own.arrays, "latents": clip["latents"]}, own.meta)


def held_stills(params: PassParams, inputs: Inputs, engine: Engine) -> list[Piece]:
    """The stills of the clip: frames of the upsampled first pass, decoded and encoded again, not denoised.

    Either neighbour makes the same one from the same latents and the same seed.
    """
    if params.excerpt is None or params.upsampling is None:
        return []
    pieces = []
    for latent in params.excerpt.stills:
        window = still_window(latent)
        seed_everything(derive_seed(params.seed, "still", latent))
        still = engine.still(
            _settled(params.excerpt, inputs, window), TEMPORAL * (latent - window.start), params.upsampling
        )
        pieces.append(Piece(still, TEMPORAL * (latent - params.span.artifact.start)))
    if pieces:
        seed_everything(params.seed)
    return pieces


def _settled(excerpt: Excerpt, inputs: Inputs, wanted: Span) -> Payload:
    """Latents of the first pass as they are when the whole chain is sampled."""
    return Payload(
        {"latents": gather([held["latents"] for held in inputs["latents"]], excerpt.spans, wanted)}
    )
