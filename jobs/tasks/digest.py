"""Digests of stage tasks: SHA-256 of everything that can reach a result's bytes, and of nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from jobs.canonical import as_object, sha256_of
from jobs.planning.params import EncodeAudio, EncodeClip, EncodeImage, EncodeSource
from jobs.tasks.task import Stage, StageTask, TaskGraph

STAGE_VERSION: dict[Stage, int] = {
    Stage.ENCODE: 2,
    Stage.SAMPLE: 5,
    Stage.UPSCALE: 5,
    Stage.DECODE: 1,
    Stage.SEGMENT: 1,
}
"""Raised when a stage's code, or an engine's for it, changes what it makes from the same inputs."""


@dataclass(frozen=True)
class Fingerprint:
    """The software, models and files behind a job.

    `engine` is what the engine says of itself. Keys that are stage names hold what concerns that stage alone
    (a LoRA under `sample`, the upsampler under `upscale`); every other key concerns all stages but segment.
    `media` describes the ffmpeg build; it reaches guide images, source videos, audio and segments.
    `files` are content digests by the path that the task parameters name.
    """

    engine: Mapping[str, Any]
    media: Mapping[str, Any]
    files: Mapping[str, str]


def digests(graph: TaskGraph, fingerprint: Fingerprint) -> dict[str, str]:
    """Digest of every task, hexadecimal, in plan order.

    Raises KeyError when `fingerprint.files` lacks one of `input_files(graph)`.
    """
    software = {stage: _engine_part(stage, fingerprint.engine) for stage in Stage}
    media = sha256_of(fingerprint.media)
    found: dict[str, str] = {}
    for task in graph.tasks.values():
        found[task.id] = sha256_of(
            {
                "stage": task.stage,
                "version": STAGE_VERSION[task.stage],
                "params": _parameters(task, fingerprint.files),
                "inputs": [(need.role, found[need.task]) for need in task.needs],
                "engine": software[task.stage],
                "media": media if _uses_media(task) else None,
            }
        )
    return found


def input_files(graph: TaskGraph) -> frozenset[str]:
    """Paths whose contents reach the digests of this graph."""
    return frozenset(_paths(graph))


def _paths(graph: TaskGraph) -> Iterator[str]:
    for task in graph.tasks.values():
        path = getattr(task.params, "path", None)
        if path is not None:
            yield path


def _parameters(task: StageTask, files: Mapping[str, str]) -> Any:
    """The parameters with contents in place of paths: a moved file is the same file."""
    path = getattr(task.params, "path", None)
    if path is None:
        return task.params
    return {**as_object(task.params), "path": files[path]}


def _engine_part(stage: Stage, engine: Mapping[str, Any]) -> str | None:
    if stage is Stage.SEGMENT:
        return None
    names = {other.value for other in Stage}
    common = {key: value for key, value in engine.items() if key not in names}
    return sha256_of([common, engine.get(stage.value)])


def _uses_media(task: StageTask) -> bool:
    if isinstance(task.params, EncodeSource):
        return task.params.kind == "video"
    return task.stage is Stage.SEGMENT or isinstance(task.params, EncodeImage | EncodeClip | EncodeAudio)
