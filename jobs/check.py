"""What `farm check` and `farm schema` say, as plain data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobs.errors import InputError, Problem
from jobs.load import LoadedJob, LoadOptions, load_job
from jobs.plan import make_plan
from jobs.spec import JobSpec

SCHEMA_DIALECT = "https://json-schema.org/draft/2020-12/schema"


@dataclass(frozen=True)
class CheckReport:
    """Either `problems`, or the checked `job` with how much it will render."""

    problems: tuple[Problem, ...] = ()
    job: LoadedJob | None = None
    videos: int = 0
    chunks: int = 0
    frames: int = 0

    @property
    def ok(self) -> bool:
        """True when the spec can be rendered as far as the spec goes."""
        return not self.problems

    def as_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        problems = [
            {"place": p.place, "value": p.value, "rule": p.rule, "remedy": p.remedy} for p in self.problems
        ]
        name = self.job.spec.name if self.job else None
        counts = {"videos": self.videos, "chunks": self.chunks, "frames": self.frames}
        return {"ok": self.ok, "job": name, "problems": problems, **counts}


def check_spec(
    path: str | Path, overrides: Sequence[str] = (), options: LoadOptions | None = None
) -> CheckReport:
    """Checks the spec at `path` and counts what it would render. Raises nothing for a faulty spec."""
    try:
        job = load_job(path, overrides, options)
        plan = make_plan(job.spec, job.facts)
    except InputError as error:
        return CheckReport(error.problems)
    chunks = sum(len(video.chunks) for video in plan.videos)
    return CheckReport((), job, len(plan.videos), chunks, plan.frames)


def json_schema() -> dict[str, Any]:
    """JSON Schema of the job spec, for editors."""
    return {"$schema": SCHEMA_DIALECT, "title": "ltx-farm job", **JobSpec.model_json_schema()}
