"""A film of a Generate and five Extends in this process: seconds by stage, and how its seams show."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from actors.payload import Payload
from actors.steps.run import run_stage
from actors.steps.segment import owned_blocks
from jobs.loading.load import load_spec
from jobs.planning.params import SegmentParams
from jobs.planning.plan import make_plan
from jobs.tasks.graph import build_graph
from jobs.tasks.task import Stage, StageTask

if TYPE_CHECKING:
    from actors.engines.base import Engine
    from jobs.planning.planned import Plan

EXTENDS = 5
REACH_FRAMES = 8
"""Frames before and after a cross-fade that count as its seam."""


@dataclass(frozen=True)
class FilmMeasures:
    """`ratio` is the largest change between neighbouring frames near a seam over the 99th percentile
    elsewhere, `seams` those of each seam; `sha256` is that of the frames."""

    frames: int
    seams: tuple[float, ...]
    seconds: dict[str, float]
    sha256: str

    @property
    def ratio(self) -> float:
        return max(self.seams)


def film_plan(engine: Mapping[str, Any], recipe: str | None, defaults: Mapping[str, Any]) -> Plan:
    """The plan of a Generate and five Extends."""
    extend = {"prompt": "the red ball keeps bouncing", "repeat": EXTENDS}
    generate = {"prompt": "a red ball moves right over a teal background"}
    chunks = [{"generate": generate}, {"extend": extend}]
    film = {"videos": [{"name": "selftest", "chunks": chunks}]}
    named = {"recipe": recipe} if recipe else {}
    spec = {"version": 1, "name": "selftest", "engine": {**engine}, "defaults": {**defaults}, **named, **film}
    return make_plan(load_spec(spec, check_files=False).spec)


def make_film(plan: Plan, engine: Engine, words: Payload | None, in_time: Callable[[], None]) -> FilmMeasures:
    """Runs encode, sample and decode of the plan's film; `words`, where given, stand in for every prompt.

    `in_time` is called before each task and raises where there is no time left.
    """
    made: dict[str, Payload] = {}
    seconds: dict[str, float] = {}
    with TemporaryDirectory() as scratch:
        for task in build_graph(plan).tasks.values():
            in_time()
            began = time.perf_counter()
            if task.stage is Stage.ENCODE and words is not None:
                made[task.id] = words
            elif task.stage is not Stage.SEGMENT:
                made[task.id] = _run(task, made, engine, Path(scratch))
            key = str(task.stage)
            seconds[key] = seconds.get(key, 0.0) + time.perf_counter() - began
    frames = np.concatenate(list(_pieces(plan, made)))
    starts = [(chunk.owned.start, chunk.fade_frames) for chunk in plan.videos[0].chunks[1:]]
    digest = hashlib.sha256(frames.tobytes()).hexdigest()
    seconds.pop(str(Stage.SEGMENT), None)
    return FilmMeasures(len(frames), seam_ratios(frames, starts), seconds, digest)


def _run(task: StageTask, made: Mapping[str, Payload], engine: Engine, scratch: Path) -> Payload:
    result = run_stage(task, _inputs(task, made), engine, scratch)
    assert isinstance(result, Payload)
    return result


def _inputs(task: StageTask, made: Mapping[str, Payload]) -> dict[str, list[Payload]]:
    inputs: dict[str, list[Payload]] = {}
    for need in task.needs:
        inputs.setdefault(need.role, []).append(made[need.task])
    return inputs


def _pieces(plan: Plan, made: Mapping[str, Payload]) -> Any:
    for task in build_graph(plan).tasks.values():
        if isinstance(task.params, SegmentParams) and task.needs:
            inputs = _inputs(task, made)
            yield from owned_blocks(task.params, inputs["frames"], inputs.get("previous", [None])[0])


def seam_ratios(frames: np.ndarray, seams: list[tuple[int, int]]) -> tuple[float, ...]:
    """For every seam, (first frame, frames of its fade), the largest change near it over the 99th percentile
    of the changes elsewhere. `frames` are uint8 `[F, H, W, 3]`."""
    steps = [
        np.abs(one.astype(np.int16) - other).mean()
        for one, other in zip(frames[1:], frames[:-1], strict=True)
    ]
    changes = np.array(steps)
    near = np.zeros(len(changes), dtype=bool)
    spans = [slice(max(0, start - REACH_FRAMES), start + fade + REACH_FRAMES) for start, fade in seams]
    for span in spans:
        near[span] = True
    usual = float(np.quantile(changes[~near] if (~near).any() else changes, 0.99))
    return tuple(round(float(changes[span].max()) / max(usual, 1e-6), 4) for span in spans)
