"""The stage-task graph of a plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from jobs.params import (
    DecodeParams, EncodeAudio, EncodeImage, EncodeSource, EncodeText, GuideUse, PlannedGuider, SampleParams,
    Sampling, SegmentParams, StageParams, Tiles, UpscaleParams,
)  # fmt: skip

__all__ = [
    "DecodeParams", "EncodeAudio", "EncodeImage", "EncodeSource", "EncodeText", "GuideUse", "Need",
    "PlannedGuider", "SampleParams", "Sampling", "SegmentParams", "Stage", "StageParams", "StageTask",
    "TaskGraph", "Tiles", "UpscaleParams",
]  # fmt: skip


class Stage(StrEnum):
    """What a worker can host."""

    ENCODE = "encode"
    SAMPLE = "sample"
    UPSCALE = "upscale"
    DECODE = "decode"
    SEGMENT = "segment"


@dataclass(frozen=True, slots=True)
class Need:
    """An input: the artifact of `task`, in the given role."""

    role: str
    task: str


@dataclass(frozen=True, slots=True)
class StageTask:
    """One stage of one chunk. An encode that several chunks share names the first that needs it.

    `bytes_estimate` is the size of the result, bytes. `shot` and `video` name the chain.
    """

    id: str
    stage: Stage
    video: str
    chunk: int
    shot: int
    needs: tuple[Need, ...]
    params: StageParams
    bytes_estimate: int

    @property
    def seed(self) -> int:
        """What the global generators are seeded with before the step runs."""
        return getattr(self.params, "seed", 0)

    @property
    def chain(self) -> str:
        """Name of the chain that the task belongs to."""
        return f"{self.video}/shot{self.shot:03d}"


@dataclass(frozen=True, slots=True)
class TaskGraph:
    """Tasks in plan order (every need stands before its task), with the edges turned round."""

    tasks: Mapping[str, StageTask]
    dependents: Mapping[str, tuple[str, ...]]
    chains: Mapping[str, tuple[str, ...]]
