"""What is left of a job that was submitted to a cluster and refused: nobody sees the terminal there.

The trace is a document of its own, so that the state of a job that was rendered before stays as it is. The
next driver that takes the job up deletes it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from farm.state.job_state import read_state
from farm.submission.submit import job_name
from jobs.errors import CannotRun, DamagedDocument, FarmError, InputError
from jobs.records import Form
from jobs.spec.base import safe_name
from jobs.store.documents import REFUSED
from jobs.store.opening import JOB_ID, open_backend
from jobs.store.store import Store

if TYPE_CHECKING:
    from farm.options import RenderOptions

SUBMITTED = "RAY_JOB_CONFIG_JSON_ENV_VAR"
"""What Ray's job server sets for the commands that it runs."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an attempt was not taken up, of which spec, and when (epoch seconds)."""

    reason: str
    spec: str = ""
    at_s: float = 0.0


REFUSED_FORM = Form(REFUSED, Refusal)


@contextmanager
def traced(spec: str, options: RenderOptions) -> Iterator[None]:
    """Leaves a trace of a render that a job server started and that is refused within the `with`."""
    begun_s = time.time()
    try:
        yield
    except (InputError, CannotRun) as error:
        if SUBMITTED in os.environ:
            with suppress(FarmError, OSError):
                _leave(spec, options, error, begun_s)
        raise


def _leave(spec: str, options: RenderOptions, error: FarmError, begun_s: float) -> None:
    job = _job_of(spec, options)
    store = Store(open_backend(options.runs_url, job), options.runs_url, job)
    with suppress(DamagedDocument):
        known = read_state(store)
        if known is not None and known.started_s >= begun_s:
            return
    store.save(REFUSED_FORM, Refusal(_in_one_line(error), spec, time.time()))


def _job_of(spec: str, options: RenderOptions) -> str:
    """Where people will look for it: what was refused may be the name."""
    try:
        job = options.job_id or job_name(Path(spec), options.overrides)
    except InputError:
        job = Path(spec).stem
    return job if JOB_ID.match(job) else safe_name(job)


def _in_one_line(error: FarmError) -> str:
    if isinstance(error, InputError):
        lines = (f"{each.place}: {each.value} ({each.rule}; {each.remedy})" for each in error.problems)
        return "; ".join(lines)
    return " ".join(str(error).split())
