"""`farm list`: the jobs of a runs directory."""

from __future__ import annotations

from dataclasses import dataclass

from farm.verbs.run import Run
from jobs.store import Store


@dataclass(frozen=True, slots=True)
class JobRow:
    """One job: outcome as `farm status` says it, and tasks that are done, of all."""

    job: str
    outcome: str
    committed: int
    total: int


JobRows = tuple[JobRow, ...]


def list_runs(runs_url: str) -> JobRows:
    """Every job under `runs_url`, by name; folders that are no jobs are left out."""
    return tuple(_row(Run(store)) for store in Store.every(runs_url))


def _row(run: Run) -> JobRow:
    tasks = run.state.tasks if run.state else None
    done = tasks.committed + tasks.reused if tasks else 0
    return JobRow(run.job, run.outcome[0], done, tasks.total if tasks else 0)
