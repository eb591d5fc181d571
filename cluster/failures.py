"""What a Ray exception means for the farm: a failed task on a living worker, or a worker that is gone."""

from __future__ import annotations

from dataclasses import dataclass

from ray import exceptions

from jobs.errors import CannotRun, FailureKind, StageError


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong with a call.

    `worker_gone`: the process takes no further calls. `traceback` is the remote one, as text; `cause` the
    exception that the worker raised, where it raised one.
    """

    kind: FailureKind
    message: str
    traceback: str = ""
    worker_gone: bool = False
    cause: BaseException | None = None


def read_failure(error: BaseException) -> Failure:
    """Sort an exception that a call's future carries into the failure table."""
    if isinstance(error, exceptions.OutOfMemoryError):
        return Failure(FailureKind.OOM, _line(error, "the node ran out of memory"), worker_gone=True)
    if isinstance(error, exceptions.RayTaskError):
        return _stage_failure(error)
    if isinstance(error, exceptions.ObjectLostError):
        return Failure(FailureKind.WORKER_LOST, _line(error, "a payload was lost with its node"))
    if isinstance(error, exceptions.ActorDiedError) and error.actor_init_failed:
        return _not_importable(error)
    return Failure(FailureKind.WORKER_LOST, _line(error, type(error).__name__), worker_gone=True)


def _not_importable(error: exceptions.ActorDiedError) -> Failure:
    """The actor's constructor does nothing that can fail: its module could not be imported there."""
    last = str(error).strip().splitlines()[-1].strip()
    message = (
        f"a node cannot start farm workers: {last}. Install the same ltx-farm, with its dependencies, in the "
        "Python environment that runs Ray on every node, or submit with a runtime environment that has it."
    )
    return Failure(FailureKind.INVALID, message, worker_gone=True, cause=CannotRun(message))


def _stage_failure(error: exceptions.RayTaskError) -> Failure:
    cause = error.cause
    if isinstance(cause, exceptions.ObjectLostError):
        return Failure(FailureKind.WORKER_LOST, _line(cause, "a payload was lost with its node"))
    kind = cause.kind if isinstance(cause, StageError) else FailureKind.BUG
    return Failure(kind, _stage_message(cause), traceback=str(error), cause=cause)


def _stage_message(cause: BaseException | None) -> str:
    if isinstance(cause, StageError):
        return str(cause)
    return f"{type(cause).__name__}: {cause}"


def _line(error: BaseException, fallback: str) -> str:
    """Ray's messages run over many lines; the log needs the one that says what happened."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if line.startswith(("The actor died", "The actor is dead"))]
    return (telling or lines or [fallback])[0][:300]
