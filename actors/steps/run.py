"""One stage task: a task and its inputs in, a payload or a file out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from actors.engines.base import landed
from actors.steps.decode import decode, pictures
from actors.steps.encode import encode
from actors.steps.passes import run_pass
from actors.steps.retakes import show_source
from actors.steps.rounds import denoise_tile, make_canvas
from actors.steps.seeding import seed_everything
from actors.steps.segment import segment
from jobs.planning.params import DecodeParams
from jobs.planning.retakes.params import ShowSource
from jobs.planning.rounds.params import CanvasParams, TileParams
from jobs.tasks.task import Stage, StageTask

if TYPE_CHECKING:
    from actors.engines.base import Arriving, Engine
    from actors.payload import Payload
    from actors.steps.roles import Inputs


def run_stage(task: StageTask, inputs: Inputs, engine: Engine, scratch: Path) -> Payload | Path:
    """Run one stage task: a `Payload`, or for a segment a file in `scratch`."""
    result = begin_stage(task, inputs, engine, scratch)
    return landed(result)


def begin_stage(task: StageTask, inputs: Inputs, engine: Engine, scratch: Path) -> Payload | Path | Arriving:
    """As `run_stage`, but without waiting for the device where its engine need not: the result may still be
    computed and arriving while the next step is already begun.

    Every global generator is seeded first from the task's own seed, so the result does not depend on what
    ran before. Inputs are read, never written.
    """
    seed_everything(task.seed)
    match task.stage:
        case Stage.ENCODE:
            return encode(task.params, engine)
        case Stage.UPSCALE if isinstance(task.params, CanvasParams):
            return make_canvas(task.params, inputs, engine)
        case Stage.UPSCALE if isinstance(task.params, TileParams):
            return denoise_tile(task.params, inputs, engine)
        case Stage.SAMPLE | Stage.UPSCALE:
            return run_pass(task.params, inputs, engine)
        case Stage.DECODE if isinstance(task.params, ShowSource):
            return show_source(task.params)
        case Stage.DECODE:
            return decode(task.params, inputs, engine)
        case Stage.SEGMENT:
            return segment(task.params, inputs, scratch)


def take_part(
    task: StageTask, inputs: Inputs, engine: Engine, scratch: Path
) -> Payload | Path | Arriving | None:
    """`begin_stage` on a further rank of a gang, whose first has the same result. Of a decode the ranks share
    the pictures, which need not come home here."""
    if not isinstance(task.params, DecodeParams):
        return begin_stage(task, inputs, engine, scratch)
    seed_everything(task.seed)
    pictures(task.params, inputs["latents"], engine)
    return None
