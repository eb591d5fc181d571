"""`farm list`: the jobs of a runs directory."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from farm.state.job_state import JobState
from farm.verbs.run import JobDocuments
from jobs.errors import Problem, UsageError
from jobs.storage_problems import barred
from jobs.store.store import Store


@dataclass(frozen=True, slots=True)
class JobRow:
    """One job: outcome and reason as `farm status` says them; tasks that are done, of all, and in per cent;
    films that are delivered, of all; bytes of its results; when its newest driver began (epoch seconds, None
    where none did), and whose it was."""

    job: str
    outcome: str
    committed: int
    total: int
    percent: int = 0
    reason: str = ""
    films: int = 0
    of_films: int = 0
    size_bytes: int = 0
    started_s: float | None = None
    user: str = ""
    host: str = ""


JobRows = tuple[JobRow, ...]


def list_runs(runs_url: str) -> JobRows:
    """Every job under `runs_url`, by name; folders that are no jobs are left out, as are `closed_to_you`.

    Raises UsageError for a folder that does not exist.
    """
    if "://" not in runs_url and not Path(runs_url).expanduser().is_dir():
        what = "is no folder" if Path(runs_url).expanduser().exists() else "does not exist"
        remedy = "name the runs directory of a render with --runs or FARM_RUNS; a render makes it"
        raise UsageError([Problem("--runs", f"{runs_url!r} {what}", "the folder of run directories", remedy)])
    return tuple(row_of(JobDocuments(store)) for store in Store.every(runs_url))


def closed_to_you(runs_url: str) -> tuple[str, ...]:
    """The folders of a runs directory that this user may not look into, each with whose it is."""
    if "://" in runs_url:
        return ()
    inside = sorted(each for each in Path(runs_url).expanduser().iterdir() if each.is_dir())
    closed = (each for each in inside if not os.access(each, os.R_OK | os.X_OK))
    return tuple(f"left out: {bar}" for each in closed if (bar := barred(each)))


def row_of(run: JobDocuments) -> JobRow:
    """The row of one job."""
    state = run.state or JobState(run.job)
    outcome, reason = run.outcome
    done, total = state.tasks.committed + state.tasks.reused, state.tasks.total
    began_s = state.started_s or (run.refusal.at_s if run.refusal else None)
    return JobRow(
        job=run.job,
        outcome=outcome,
        reason=reason,
        committed=done,
        total=total,
        percent=100 * done // total if total else 0,
        films=len(state.videos),
        of_films=max(state.films, len(state.videos)),
        size_bytes=run.store.size_bytes(),
        started_s=began_s,
        user=state.user,
        host=state.host,
    )
