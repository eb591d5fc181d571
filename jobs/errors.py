"""Every error of the farm, in one tree.

FarmError                        exit 3
├── InputError                   exit 2   what the user wrote; carries every `Problem` at once
│   ├── SpecError                         the job spec
│   ├── UsageError                        the command line, or a job id that does not exist
│   └── DamagedDocument                   a file of a run directory that cannot be read
├── CannotRun                    exit 5   this environment cannot do it
│   ├── CapacityError                     too few GPUs, or a stage that nobody hosts
│   ├── MissingCoreApi                    ComfyUI lacks a node or function
│   ├── MissingFFmpeg                     no ffmpeg, or one without the encoder that the job names
│   ├── StoreUnusable                     unwritable, or without an exclusive create
│   ├── NewerFormat                       a file of a run directory that a newer version wrote
│   └── JobBusy                           another driver holds the job's lock
├── JobFailed                    exit 3   failed or partial
├── JobCancelled                 exit 4
└── StageError                   exit 3   one attempt of one stage task; `kind` picks the policy
    ├── InvalidInput             invalid
    ├── OutOfMemory              oom
    ├── WorkerLost               worker_lost
    ├── BadOutput                bad_output
    ├── StorageProblem           storage
    │   ├── AccessDenied         storage  exit 5: another user's file or folder
    │   └── CorruptArtifact      storage  a committed file that does not verify
    └── StageBug                 bug

Every message ends with what to do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from jobs.wording import one_line


class FailureKind(StrEnum):
    """The rows of the failure table."""

    INVALID = "invalid"
    OOM = "oom"
    WORKER_LOST = "worker_lost"
    HANG = "hang"
    BAD_OUTPUT = "bad_output"
    STORAGE = "storage"
    BUG = "bug"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with the input.

    `place` is a path such as `videos[0].chunks[2].extend.overlap_frames`, `value` what stands there
    (shortened), `rule` what is allowed, `remedy` what to write instead, `line` that of the file, from 1.
    """

    place: str
    value: str
    rule: str
    remedy: str
    line: int | None = None

    def __str__(self) -> str:
        at = f" (line {self.line})" if self.line else ""
        place, value, rule, remedy = map(one_line, (self.place, self.value, self.rule, self.remedy))
        return f"{place}: {value}{at}\n    rule:   {rule}\n    remedy: {remedy}"


class FarmError(Exception):
    """Root of the tree. `exit_code` is what the command line returns."""

    exit_code: ClassVar[int] = 3


class InputError(FarmError):
    """Input the user can mend; lists every problem at once."""

    exit_code = 2

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))

    def __reduce__(self) -> tuple[type, tuple[tuple[Problem, ...]]]:
        return type(self), (self.problems,)


class SpecError(InputError):
    """The job spec breaks one or more rules."""


class UsageError(InputError):
    """The command line asks for something that does not exist or does not fit together."""


class DamagedDocument(InputError):
    """A file of a run directory is there and cannot be read."""


class CannotRun(FarmError):
    """The job is fine, this environment cannot run it."""

    exit_code = 5


class CapacityError(CannotRun):
    """The cluster can never give what the topology asks for."""


class MissingCoreApi(CannotRun):
    """The ComfyUI that was found lacks a node or function that the job needs."""


class MissingFFmpeg(CannotRun):
    """No ffmpeg was found, or the one that was found is too old or lacks an encoder."""


class StoreUnusable(CannotRun):
    """The runs directory cannot be written, or cannot create a file exclusively."""


class NewerFormat(CannotRun):
    """A newer version of the farm wrote what would have to be read or replaced."""


class JobBusy(CannotRun):
    """Another driver renders this job now."""


class JobFailed(FarmError):
    """The job ended failed or partial.

    `causes` are the quarantined tasks, each with the kind of its failure and what went wrong.
    """

    causes: tuple[str, ...] = ()


class JobCancelled(FarmError):
    """The user cancelled the job."""

    exit_code = 4


class StageError(FarmError):
    """One attempt of one stage task failed; `kind` selects the policy, `worker_gone` says that its worker
    takes no further task."""

    kind: ClassVar[FailureKind] = FailureKind.BUG
    worker_gone: bool = False


class InvalidInput(StageError):
    """The task can never succeed as it is; never retried."""

    kind = FailureKind.INVALID


class OutOfMemory(StageError):
    """Device or host memory ran out."""

    kind = FailureKind.OOM


class WorkerLost(StageError):
    """The worker's process, node or device went away."""

    kind = FailureKind.WORKER_LOST


class BadOutput(StageError):
    """The stage returned, but what it made is not a valid result.

    `evidence` is the SHA-256 of what it made: the same bytes twice are no accident of one worker.
    """

    kind = FailureKind.BAD_OUTPUT
    evidence: str = ""


class StorageProblem(StageError):
    """Reading or writing the store failed: disk full, permission, missing mount.

    `path` is what could not be used and `cause` why, `full` whether room is all that lacks, `need_bytes`
    what was to be written, `free_bytes` what the medium had left.
    """

    kind = FailureKind.STORAGE
    path: str = ""
    cause: str = ""
    full: bool = False
    need_bytes: int = 0
    free_bytes: int | None = None


class AccessDenied(StorageProblem):
    """A file or folder of another user may not be read or written by this one."""

    exit_code = 5


class CorruptArtifact(StorageProblem):
    """A committed artifact does not match its size or SHA-256; it is discarded and rendered again.

    `digest` names the commit to void.
    """

    digest: str = ""


class StageBug(StageError):
    """Any other exception from a stage."""

    kind = FailureKind.BUG
