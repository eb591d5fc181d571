"""The worker's side of the out-of-memory ladder: what each rung does before a task is tried again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from jobs.failures import Rung
from jobs.planning.params import SMALL_TILES, DecodeParams, EncodeText, PassParams, Tiles
from jobs.planning.rounds.params import TileParams
from jobs.tasks.task import Stage, StageTask

if TYPE_CHECKING:
    from actors.engines.base import Engine, FreeLevel

_FREES: dict[Rung, FreeLevel] = {
    Rung.EMPTY_CACHE: "cache",
    Rung.EVICT_RESIDENTS: "resident",
    Rung.OFFLOAD: "stream",
}
MANY_FFN_CHUNKS = 16
STREAMING_STAGES = (Stage.ENCODE, Stage.SAMPLE, Stage.UPSCALE)
"""Stages that run models which can be streamed."""


def free_memory(task: StageTask, rungs: Sequence[Rung], engine: Engine, prompts_first: bool = False) -> None:
    """The byte-preserving rungs. Where prompts come first, the text encoder leaves as soon as another task
    comes."""
    if prompts_first and not isinstance(task.params, EncodeText):
        engine.free("prompts")
    for level in frees(task, rungs):
        engine.free(level)


def frees(task: StageTask, rungs: Sequence[Rung]) -> tuple[FreeLevel, ...]:
    """What those rungs give back before the task: from the first one on the text encoder, unless it is to be
    run."""
    levels = tuple(_FREES[rung] for rung in rungs if rung in _FREES)
    return ("prompts", *levels) if levels and not isinstance(task.params, EncodeText) else levels


def rungs_of_room(stage: Stage) -> tuple[Rung, ...]:
    """The byte-preserving rungs by which a worker can make room for a stage. Streaming makes some only where
    the stage itself runs a text encoder or transformer."""
    room = (Rung.EMPTY_CACHE, Rung.EVICT_RESIDENTS)
    return (*room, Rung.OFFLOAD) if stage in STREAMING_STAGES else room


def lighten(task: StageTask, rungs: Sequence[Rung]) -> StageTask:
    """The rungs that change bytes: the same task with smaller pieces."""
    params = task.params
    if Rung.TILE_DECODE in rungs and isinstance(params, DecodeParams):
        return replace(task, params=replace(params, tiling=_smaller(params.tiling)))
    if Rung.MORE_FFN_CHUNKS in rungs and isinstance(params, PassParams | TileParams):
        return replace(task, params=replace(params, ffn_chunks=MANY_FFN_CHUNKS))
    return task


def is_exact(rungs: Sequence[Rung]) -> bool:
    """Whether a result made on these rungs has the bytes of an undisturbed run."""
    return all(rung.exact for rung in rungs)


def _smaller(tiles: Tiles | None) -> Tiles:
    if tiles is None or tiles.tile_latents > SMALL_TILES.tile_latents:
        return SMALL_TILES
    return Tiles(max(2, tiles.tile_latents // 2), 1)
