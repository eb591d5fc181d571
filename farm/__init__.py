"""ltx-farm: a render farm for long AI video on Ray.

    import farm

    for event in farm.render("film.yaml", gpus=2):
        print(event)

The public names are those of `__all__`; they load on first use, so `import farm` is cheap.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from jobs.version import VERSION

if TYPE_CHECKING:
    from farm.api import films, render
    from farm.events import (
        Event,
        FilmDelivered,
        JobFinished,
        JobPlanned,
        Notice,
        TaskCommitted,
        TaskFailed,
        TaskStarted,
        TaskSuperseded,
        WorkerGone,
        WorkerPlaced,
        WorkerReady,
        WorkerSuspended,
    )
    from farm.options import RenderOptions
    from jobs.errors import CannotRun, FarmError, InputError, JobCancelled, JobFailed, SpecError

__version__ = VERSION

_HOME = {
    "RenderOptions": "farm.options",
    "films": "farm.api",
    "render": "farm.api",
    "Event": "farm.events",
    "FilmDelivered": "farm.events",
    "JobFinished": "farm.events",
    "JobPlanned": "farm.events",
    "Notice": "farm.events",
    "TaskCommitted": "farm.events",
    "TaskFailed": "farm.events",
    "TaskStarted": "farm.events",
    "TaskSuperseded": "farm.events",
    "WorkerGone": "farm.events",
    "WorkerPlaced": "farm.events",
    "WorkerReady": "farm.events",
    "WorkerSuspended": "farm.events",
    "CannotRun": "jobs.errors",
    "FarmError": "jobs.errors",
    "InputError": "jobs.errors",
    "JobCancelled": "jobs.errors",
    "JobFailed": "jobs.errors",
    "SpecError": "jobs.errors",
}

__all__ = [
    "CannotRun",
    "Event",
    "FarmError",
    "FilmDelivered",
    "InputError",
    "JobCancelled",
    "JobFailed",
    "JobFinished",
    "JobPlanned",
    "Notice",
    "RenderOptions",
    "SpecError",
    "TaskCommitted",
    "TaskFailed",
    "TaskStarted",
    "TaskSuperseded",
    "WorkerGone",
    "WorkerPlaced",
    "WorkerReady",
    "WorkerSuspended",
    "__version__",
    "films",
    "render",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'farm' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
