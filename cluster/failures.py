"""What a call's exception means for the farm: a failed task on a living worker, or a worker that is gone."""

from __future__ import annotations

from dataclasses import dataclass

from jobs.errors import FailureKind, StageError


@dataclass(frozen=True, slots=True)
class CallFailure:
    """What went wrong with a call.

    `worker_gone`: the process takes no further calls. `traceback` is the remote one, as text; `cause` the
    exception that the worker raised, where it raised one.
    """

    kind: FailureKind
    message: str
    traceback: str = ""
    worker_gone: bool = False
    cause: BaseException | None = None


def raised(cause: BaseException, traceback: str) -> CallFailure:
    """What the worker itself raised; it lives, unless the error says otherwise."""
    if isinstance(cause, StageError):
        return CallFailure(cause.kind, str(cause), traceback, cause.worker_gone, cause)
    return CallFailure(FailureKind.BUG, f"{type(cause).__name__}: {cause}", traceback, cause=cause)
