"""Stage tasks and the graph that ties them. `jobs.tasks.graph` builds it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from jobs.frames import LATENT_CHANNELS, SPATIAL
from jobs.planning.params import DecodeParams, StageParams
from jobs.planning.retakes.params import ShowSource
from jobs.planning.rounds.params import CanvasParams


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

    `bytes_estimate` is the size of the result, bytes. `video` and `shot` name the chain.
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
    def without(self) -> Literal["", "model", "pictures", "steps"]:
        """What a task does without that others of its stage have: a decode a model where it reads a source,
        or pictures where it makes sound alone; an upscale steps where it makes a canvas. What it takes says
        nothing of others."""
        if isinstance(self.params, ShowSource):
            return "model"
        if isinstance(self.params, CanvasParams):
            return "steps"
        return "pictures" if isinstance(self.params, DecodeParams) and not self.params.window.keep else ""

    @property
    def transient(self) -> bool:
        """Whether its result is evicted once all that read it are committed: frames, by far the largest, and
        canvases, which take little to make again."""
        return self.stage is Stage.DECODE or isinstance(self.params, CanvasParams)

    @property
    def chain(self) -> str:
        """Name of the chain that the task belongs to."""
        return f"{self.video}/shot{self.shot:03d}"


@dataclass(frozen=True, slots=True)
class TaskGraph:
    """Tasks in plan order (every need stands before its task), and the edges turned round."""

    tasks: Mapping[str, StageTask]
    dependents: Mapping[str, tuple[str, ...]]

    @property
    def stages(self) -> frozenset[Stage]:
        """Stages that have a task."""
        return frozenset(task.stage for task in self.tasks.values())

    def closure(self, roots: Iterable[str]) -> tuple[str, ...]:
        """`roots` and everything that depends on them, in plan order."""
        reached: set[str] = set()
        waiting = list(roots)
        while waiting:
            task = waiting.pop()
            if task not in reached:
                reached.add(task)
                waiting += self.dependents[task]
        return tuple(task for task in self.tasks if task in reached)


def latent_bytes(width: int, height: int, latents: int) -> int:
    """Bytes of float32 latents `[1, 128, latents, height/32, width/32]` for pixels `width` x `height`."""
    return LATENT_CHANNELS * latents * (height // SPATIAL) * (width // SPATIAL) * 4


def task_id(video: str, chunk: int, stage: Stage) -> str:
    """`dawn/00003/sample`."""
    return f"{video}/{chunk:05d}/{stage}"
