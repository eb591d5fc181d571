"""Commands inside messages: as they can be typed where they are read, with the runs directory where it is not
the usual one."""

from __future__ import annotations

import os
import shlex

DEFAULT_RUNS = "runs"
RUNS_VARIABLE = "FARM_RUNS"
SERIAL = "serial"
"""The topology of a render without Ray."""


def job_command(verb: str, job: str, runs_url: str) -> str:
    """`farm VERB JOB`; `verb` may bring options along."""
    head, _, options = verb.partition(" ")
    return _with_runs(" ".join(filter(None, ("farm", head, shlex.quote(job), options))), runs_url)


def command_at(verb: str, run_dir: str) -> str:
    """As `job_command`, for the job of a run directory, by its address."""
    runs_url, _, job = run_dir.rstrip("/").rpartition("/")
    return job_command(verb, job, runs_url)


def resume_command(job: str, runs_url: str, topology: str) -> str:
    """`farm resume JOB`, as a job of this topology is rendered: `serial` without Ray, all others on it."""
    return job_command(f"resume{_alone(topology)}", job, runs_url)


def render_command(job: str, spec_name: str, runs_url: str, topology: str, spec: str = "SPEC") -> str:
    """`farm render SPEC`, into the run directory `job`, of a spec that calls the job `spec_name`; for the
    `topology` as `resume_command`."""
    own = "" if job == spec_name else f" --job-id {shlex.quote(job)}"
    return _with_runs(f"farm render {shlex.quote(spec)}{own}{_alone(topology)}", runs_url)


def get_command(recipe: str) -> str:
    """What fetches the files of a recipe, into the folder that docs/models.md has."""
    return f"farm models get {recipe} --to models"


def init_command(checkpoint: str) -> str:
    """What writes a spec with the recipe of a model's file."""
    return f"farm init new.yaml --checkpoint {shlex.quote(checkpoint)}"


def _alone(topology: str) -> str:
    return " --serial" if topology == SERIAL else ""


def _with_runs(command: str, runs_url: str) -> str:
    usual = runs_url == DEFAULT_RUNS and RUNS_VARIABLE not in os.environ
    return command if usual else f"{command} --runs {shlex.quote(runs_url)}"
