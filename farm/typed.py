"""Commands inside messages: as they can be typed, with the runs directory where it is not the usual one."""

from __future__ import annotations

import shlex

DEFAULT_RUNS = "runs"


def typed(verb: str, job: str, runs_url: str) -> str:
    """`farm VERB JOB`; `verb` may bring options along."""
    head, _, options = verb.partition(" ")
    return _with_runs(" ".join(filter(None, ("farm", head, shlex.quote(job), options))), runs_url)


def typed_render(job: str, spec_name: str, runs_url: str, spec: str = "SPEC") -> str:
    """`farm render SPEC`, into the run directory `job`, of a spec that calls the job `spec_name`."""
    own = "" if job == spec_name else f" --job-id {shlex.quote(job)}"
    return _with_runs(f"farm render {shlex.quote(spec)}{own}", runs_url)


def _with_runs(command: str, runs_url: str) -> str:
    return command if runs_url == DEFAULT_RUNS else f"{command} --runs {shlex.quote(runs_url)}"
