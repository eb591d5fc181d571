"""Driving the farm from Python.

    import farm

    for event in farm.render("film.yaml", gpus=2):
        print(event)

`render` yields typed events (`farm.events`) as they happen and ends with `JobFinished`; `films` only waits
for the finished films.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any

from farm.events import Event, FilmDelivered, JobFinished
from farm.options import RenderOptions
from farm.specs.load import SpecSource, load
from farm.state.job_state import EXIT_CODES
from farm.state.progress import said_of
from jobs.commands import job_command
from jobs.errors import JobCancelled, JobFailed, Problem, UsageError
from jobs.extras import require_render

__all__ = ["films", "render"]

MOST_CAUSES = 3


def render(
    spec: SpecSource, options: RenderOptions | None = None, **changes: Any
) -> Generator[Event, None, None]:
    """Renders a job and yields its events; the last is `JobFinished`.

    `spec` is a file, a mapping of the same shape, or a loaded spec; `changes` are fields of `RenderOptions`.
    Raises InputError (exit 2), CannotRun (5) before anything starts; failures of single chunks are events.
    """
    options = _options(options, changes)
    loaded = load(spec, options)
    _require_packages(loaded.spec.engine.name, options.serial)
    from farm.session.opening import Scope

    scope = Scope(options.runs_url, options.job_id, options.last_stage, resume=options.resume)
    if options.serial:
        from farm.execution.serial import render_serial

        return render_serial(loaded, scope)
    from farm.execution.driver import RayOptions, render_on_ray
    from jobs.rules.faults import require_hosts

    require_hosts(loaded.spec, options.topology or loaded.spec.run.topology)

    how = RayOptions(options.topology, options.gpus, options.address, grace_s=options.grace_s or 0.0)
    return render_on_ray(loaded, scope, how)


def _require_packages(engine: str, serial: bool) -> None:
    """Raises CannotRun in a light install, which renders nothing but the fake engine in one process."""
    packages = {"fake": (), "comfyui": ("torch",), "diffusers": ("torch", "diffusers")}[engine]
    require_render(*packages, *(() if serial else ("ray",)))


def films(spec: SpecSource, options: RenderOptions | None = None, **changes: Any) -> list[FilmDelivered]:
    """Renders a job to its end and gives the films, in the order they were finished.

    Raises JobFailed or JobCancelled where the job did not end done, besides what `render` raises.
    """
    options = _options(options, changes)
    delivered: list[FilmDelivered] = []
    for event in render(spec, options):
        if isinstance(event, FilmDelivered) and not event.preview:
            delivered.append(event)
        elif isinstance(event, JobFinished):
            _require_done(event, options.runs_url)
    return delivered


def _options(options: RenderOptions | None, changes: Mapping[str, Any]) -> RenderOptions:
    if options is None:
        return RenderOptions(**changes)
    if changes:
        rule = "either a RenderOptions or its fields, not both"
        remedy = "put them all into the RenderOptions"
        raise UsageError([Problem(name, repr(value)[:60], rule, remedy) for name, value in changes.items()])
    return options


def _require_done(event: JobFinished, runs_url: str) -> None:
    if EXIT_CODES[event.outcome] == 0:
        return
    reason = event.state.get("reason") or event.outcome
    more = job_command("why", event.job, runs_url)
    causes = [
        f"{failed['task']} ({failed['kind']}): {said_of(failed['task'], failed['message'])}"
        for failed in event.state.get("failed", ())
    ]
    reasons = "; ".join([reason, *causes[:MOST_CAUSES]])
    message = f"job {event.job} ended {event.outcome}: {reasons}; `{more}` says more"
    if EXIT_CODES[event.outcome] == JobCancelled.exit_code:
        raise JobCancelled(message)
    error = JobFailed(message)
    error.causes = tuple(causes)
    raise error
