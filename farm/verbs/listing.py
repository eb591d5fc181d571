"""`farm list`: the jobs of a runs directory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from farm.verbs.run import Run
from jobs.errors import Problem, UsageError
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
    """Every job under `runs_url`, by name; folders that are no jobs are left out.

    Raises UsageError for a folder that does not exist.
    """
    if "://" not in runs_url and not Path(runs_url).expanduser().is_dir():
        what = "is no folder" if Path(runs_url).expanduser().exists() else "does not exist"
        remedy = "name the runs directory of a render with --runs or FARM_RUNS; a render makes it"
        raise UsageError([Problem("--runs", f"{runs_url!r} {what}", "the folder of run directories", remedy)])
    return tuple(_row(Run(store)) for store in Store.every(runs_url))


def _row(run: Run) -> JobRow:
    tasks = run.state.tasks if run.state else None
    done = tasks.committed + tasks.reused if tasks else 0
    return JobRow(run.job, run.outcome[0], done, tasks.total if tasks else 0)
