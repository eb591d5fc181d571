"""What a worker is, what it is ordered to do, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jobs.failures import Rung
from jobs.planning.params import PassParams
from jobs.planning.rounds.params import TileParams
from jobs.spec.engine import EngineConfig
from jobs.spec.run import Verify
from jobs.store.commits import Commit
from jobs.tasks.task import Stage, StageTask

CACHE_BYTES = 2 << 30


@dataclass(frozen=True)
class WorkerConfig:
    """What a worker is. `device` is `cpu`, `cuda` or `cuda:1`; `threads` are the CPU threads of its engine.

    `worker` is the name that goes into provenance. `trace` names a file that gets one JSON line when a task
    begins and one when its result is committed. A worker of several `ranks` is a gang: that many processes
    share its steps, once it has proved at these `sizes`, passes and tiles of the job, that it makes one
    process's bits. `prompts_first`: the text encoder has no room beside the rest; prompts are encoded before
    anything else, and it is dropped then. `streamed` are the models, of `jobs.weights.use`, whose blocks stay
    in host memory and come over one by one.
    """

    engine: EngineConfig
    stages: frozenset[Stage]
    device: str
    threads: int
    runs_url: str
    job_id: str
    verify: Verify = field(default_factory=Verify)
    worker: str = ""
    trace: str = ""
    cache_bytes: int = CACHE_BYTES
    ranks: int = 1
    sizes: tuple[PassParams | TileParams, ...] = ()
    prompts_first: bool = False
    streamed: frozenset[str] = frozenset()


@dataclass(frozen=True)
class TaskOrder:
    """One attempt of one task. `inputs` are the commits of its needs by task id; `rungs` the out-of-memory
    ladder as far as earlier attempts have climbed it. `exact` is False where the worker's software or device
    is not the one that the digest stands for. `content` has by path the SHA-256 of every file that the task
    reads, as it was when the digest was made."""

    task: StageTask
    digest: str
    attempt: int
    inputs: Mapping[str, Commit]
    rungs: tuple[Rung, ...] = ()
    exact: bool = True
    content: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class TaskResult:
    """A committed result. `seconds` is the stage step alone; `detail` says where all of the time went:
    `read_s`, `wait_s`, `step_s` and `commit_s`."""

    task: str
    commit: Commit
    seconds: float
    detail: dict[str, Any]
