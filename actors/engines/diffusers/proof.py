"""Whether a gang makes the bits of one process: a transformer's block at a size of the job, both ways."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from actors.engines.base import MakesRounds, landed
from actors.engines.pieces import PassSound, Piece
from actors.payload import Payload
from jobs.errors import StageBug
from jobs.frames import LATENT_CHANNELS, SPATIAL, frames_of
from jobs.planning.rounds.params import TileParams

if TYPE_CHECKING:
    from actors.engines.base import Arriving
    from actors.engines.diffusers.ltx_video.runner import Runner
    from jobs.planning.params import PassParams
    from jobs.planning.sampling import Sampling

SIGMAS = (1.0, 0.5)
WORDS = 256
"""Tokens of a prompt."""


def difference(runner: Runner, run: PassParams | TileParams) -> float:
    """By how much one guided step of a pass or tile like `run` differs at most, on noise; 0 where no bit
    does.

    All ranks ask at the same time.
    """
    transformer, ranks = runner.residents.get("denoising").transformer, runner.ranks
    make = partial(_made, runner, run, _words(transformer))
    with _one_block(transformer):
        together = landed(make())
        runner.ranks = None
        try:
            alone = landed(make())
        finally:
            runner.ranks = ranks
    return max(float(np.abs(together[name] - alone[name]).max()) for name in alone.arrays)


def _made(runner: Runner, run: PassParams | TileParams, words: Payload) -> Payload | Arriving:
    if not isinstance(run, TileParams):
        return runner.denoise(replace(run, sampling=_trial(run.sampling)), _pieces(run), _sound(run), words)
    if not isinstance(runner, MakesRounds):
        raise StageBug("a model without temporal rounds was asked for a tile; report this")
    trial = replace(run, sampling=_trial(run.sampling))
    return runner.refine(trial, _tile_pieces(run), PassSound(held=True), words)


@contextmanager
def _one_block(transformer: Any) -> Iterator[None]:
    blocks = transformer.transformer_blocks
    transformer.transformer_blocks = blocks[:1]
    try:
        yield
    finally:
        transformer.transformer_blocks = blocks


def _trial(sampling: Sampling) -> Sampling:
    """One step of it; what perturbs skips the one block that there is."""
    params = tuple((name, 0 if name == "blocks" else value) for name, value in sampling.guider.params)
    guider = replace(sampling.guider, params=params)
    return replace(sampling, sigmas=SIGMAS, sampler="euler", guider=guider)


def _pieces(run: PassParams) -> list[Piece]:
    """What the pass starts from and is guided by: noise of their sizes, at their places."""
    sampled = run.span.sampled
    if run.retake is not None:
        return [Piece(_noise(run, sampled), hold=run.retake.holds(sampled))]
    start = None if run.upsampling is None else _noise(run, sampled)
    kept, frames = run.span.overlap - run.replaced, frames_of(sampled)
    pieces = [Piece(start, hold=0.0)]
    if kept > 0:
        pieces.append(Piece(_noise(run, kept), 0, run.overlap_strength, run.overlap_strength))
    for use in run.guides:
        frame = use.frame if use.frame >= 0 else frames + use.frame
        pieces.append(Piece(_noise(run, 1), frame, use.strength * use.image_strength, use.strength))
    for each in run.references:
        looked_at = _noise(run, each.latents, each.scale)
        pieces.append(Piece(looked_at, 0, each.strength, each.attention, scale=each.scale, reference=True))
    pieces += [Piece(None, frame, 0.0, marked=True) for frame in run.slots]
    if run.keyframes and run.upsampling is not None:
        scale = int(run.upsampling.spatial)
        pieces.append(Piece(_noise(run, sampled, scale), scale=scale, reference=True))
    return pieces


def _tile_pieces(run: TileParams) -> list[Piece]:
    tile = run.tile
    pieces = [Piece(_noise(run, len(tile.span)), hold=0.0)]
    pieces += [Piece(_noise(run, 1), use.frame, use.strength * use.image_strength) for use in run.guides]
    pieces += [Piece(_noise(run, 1), frame, run.anchored, reference=True) for frame in tile.anchors]
    return [*pieces, *(Piece(None, frame, 0.0, marked=True) for frame in tile.slots)]


def _sound(run: PassParams) -> PassSound:
    """What is heard, as much of it held as the pass holds."""
    if run.retake is not None and run.retake.sound:
        return PassSound(held=True, made_s=run.retake.heard_s(run.frame_rate))
    return PassSound(held=run.audio_mode in ("condition", "hold"))


def _noise(run: PassParams | TileParams, latents: int, scale: int = 1) -> Payload:
    rows, columns = (side // SPATIAL // scale for side in (run.height, run.width))
    shape = (1, LATENT_CHANNELS, latents, rows, columns)
    return Payload({"latents": _drawn(shape)})


def _words(transformer: Any) -> Payload:
    """Prompts without a meaning, as wide as this transformer reads them."""
    widths = {"": _width(transformer, "caption_projection", "attn2")}
    if hasattr(transformer.transformer_blocks[0], "audio_attn2"):
        widths["_audio"] = _width(transformer, "audio_caption_projection", "audio_attn2")
    found = {f"{side}_mask": np.ones((1, WORDS), np.bool_) for side in ("positive", "negative")}
    for side in ("positive", "negative"):
        found |= {f"{side}{kind}": _drawn((1, WORDS, width)) for kind, width in widths.items()}
    return Payload(found)


def _width(transformer: Any, projection: str, attention: str) -> int:
    projected = getattr(transformer, projection, None)
    if projected is not None:
        return int(projected.linear_1.in_features)
    return int(getattr(transformer.transformer_blocks[0], attention).to_k.in_features)


def _drawn(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(shape).standard_normal(shape, np.float32)
