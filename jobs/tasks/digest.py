"""Digests of stage tasks: SHA-256 of everything that can reach a result's bytes, and of nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from jobs.canonical import as_object, sha256_of
from jobs.planning.params import EncodeAudio, EncodeClip, EncodeImage, EncodeSource, PassParams
from jobs.planning.retakes.params import ShowSource
from jobs.planning.rounds.params import CanvasParams, TileParams
from jobs.spec.engine import LoraUse
from jobs.tasks.task import Stage, StageTask, TaskGraph

STAGE_VERSION: dict[Stage, int] = {
    Stage.ENCODE: 3,
    Stage.SAMPLE: 8,
    Stage.UPSCALE: 8,
    Stage.DECODE: 1,
    Stage.SEGMENT: 1,
}
"""Raised when a stage's code, or an engine's for it, changes what it makes from the same inputs."""

PARTS = (*((stage, "") for stage in Stage), (Stage.UPSCALE, "canvas"), (Stage.UPSCALE, "tile"))
"""Tasks that the same software makes: of a stage, and the canvases and tiles of temporal rounds."""
READ_BY_FFMPEG = EncodeImage | EncodeClip | EncodeAudio | ShowSource


@dataclass(frozen=True)
class Fingerprint:
    """The software, models and files behind a job.

    `engine` is what the engine says of itself. Keys that are stage names hold what concerns that stage alone
    (a LoRA under `sample`, the upsampler under `upscale`); every other key concerns all stages but segment.
    `rounds` under `upscale`, where it is there, is what temporal rounds read instead: `canvas` and `tile`.
    `media` describes the ffmpeg build; it reaches guide images, source videos, audio and segments.
    `files` are content digests by the path that the task parameters name, `stages` the `STAGE_VERSION` of the
    farm.
    """

    engine: Mapping[str, Any]
    media: Mapping[str, Any]
    files: Mapping[str, str]
    stages: Mapping[Stage, int] = field(default_factory=lambda: STAGE_VERSION)


@dataclass(frozen=True)
class LockedResults:
    """Results that count whatever a job is rendered with: a task whose digest under `fingerprint` is among
    `digests` keeps it. `graph` has the tasks with what `auto` meant then."""

    fingerprint: Fingerprint
    digests: frozenset[str]
    graph: TaskGraph


@dataclass(frozen=True)
class Digests:
    """Digests of tasks in plan order. `made_with` has for each of them a bit for every software that gives it
    from these inputs: bit k for the k-th `LockedResults`, the bit above for today's. Empty without locks."""

    by_task: dict[str, str]
    made_with: dict[str, int] = field(default_factory=dict)


def digests(graph: TaskGraph, fingerprint: Fingerprint) -> dict[str, str]:
    """Digest of every task, hexadecimal, in plan order.

    Raises KeyError when `fingerprint.files` lacks one of `input_files(graph)`.
    """
    return digests_with(graph, fingerprint, ()).by_task


def digests_with(graph: TaskGraph, fingerprint: Fingerprint, locked: Sequence[LockedResults]) -> Digests:
    """As `digests`, but that locked results keep theirs; what is made of those counts them as its inputs."""
    today, before = _Digester(graph, fingerprint), [_Digester(old.graph, old.fingerprint) for old in locked]
    found: dict[str, str] = {}
    made_with: dict[str, int] = {}
    for name, task in graph.tasks.items():
        inputs = [(need.role, found[need.task]) for need in task.needs]
        own, olds = today.of(name, inputs), [digester.of(name, inputs) for digester in before]
        kept = (old for old, lock in zip(olds, locked, strict=True) if old in lock.digests)
        found[name] = next(kept, own)
        if locked:
            made_with[name] = sum(1 << bit for bit, each in enumerate((*olds, own)) if each == found[name])
    return Digests(found, made_with)


class _Digester:
    """The digests of a graph's tasks under one fingerprint, by their inputs'."""

    def __init__(self, graph: TaskGraph, fingerprint: Fingerprint) -> None:
        self._tasks, self._files, self._stages = graph.tasks, fingerprint.files, fingerprint.stages
        self._software = {part: _engine_part(*part, fingerprint.engine) for part in PARTS}
        self._media = sha256_of(fingerprint.media)

    def of(self, name: str, inputs: Sequence[tuple[str, str]]) -> str:
        task = self._tasks[name]
        return sha256_of(
            {
                "stage": task.stage,
                "version": self._stages[task.stage],
                "params": _parameters(task, self._files),
                "inputs": inputs,
                "engine": self._software[_part_of(task)],
                "media": self._media if _uses_media(task) else None,
            }
        )


def input_files(graph: TaskGraph) -> frozenset[str]:
    """Paths whose contents reach the digests of this graph."""
    return frozenset(path for task in graph.tasks.values() for path in files_of(task))


def files_of(task: StageTask) -> Iterator[str]:
    """Paths whose contents reach the digest of this task."""
    path = getattr(task.params, "path", None)
    if path is not None:
        yield path
    yield from (lora.path for lora in getattr(task.params, "loras", ()))


def _parameters(task: StageTask, files: Mapping[str, str]) -> Any:
    """The parameters with contents in place of paths: a moved file is the same file."""
    params = task.params
    if isinstance(params, PassParams | TileParams) and params.loras:
        return replace(params, loras=tuple(LoraUse(files[path], strength) for path, strength in params.loras))
    path = getattr(params, "path", None)
    return params if path is None else {**as_object(params), "path": files[path]}


def _part_of(task: StageTask) -> tuple[Stage, str]:
    if isinstance(task.params, CanvasParams):
        return task.stage, "canvas"
    return task.stage, "tile" if isinstance(task.params, TileParams) else ""


def _engine_part(stage: Stage, of_rounds: str, engine: Mapping[str, Any]) -> str | None:
    if stage is Stage.SEGMENT:
        return None
    names = {other.value for other in Stage}
    common = {key: value for key, value in engine.items() if key not in names}
    own = engine.get(stage.value)
    if isinstance(own, Mapping) and "rounds" in own:
        rest = {key: value for key, value in own.items() if key != "rounds"}
        own = own["rounds"][of_rounds] if of_rounds else rest
    return sha256_of([common, own])


def _uses_media(task: StageTask) -> bool:
    if isinstance(task.params, EncodeSource):
        return task.params.kind == "video"
    return task.stage is Stage.SEGMENT or isinstance(task.params, READ_BY_FFMPEG)
