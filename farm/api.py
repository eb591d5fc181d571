"""Driving the farm from Python.

    import farm

    for event in farm.render("film.yaml", gpus=2):
        print(event)

`render` yields typed events (`farm.events`) as they happen and ends with `JobFinished`; `films` only waits
for the finished films.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from farm.events import Event, FilmDelivered, JobFinished
from farm.options import RenderOptions
from farm.progress import said_of
from farm.state import EXIT_CODES
from jobs.commands import job_command
from jobs.errors import JobCancelled, JobFailed, Problem, UsageError
from jobs.extras import require_render
from jobs.facts import Probes
from jobs.load import LoadedSpec, load_spec

__all__ = ["RenderOptions", "films", "load", "render"]

SpecSource = str | Path | Mapping[str, Any] | LoadedSpec
MOST_CAUSES = 3


def render(spec: SpecSource, options: RenderOptions | None = None, **changes: Any) -> Iterator[Event]:
    """Renders a job and yields its events; the last is `JobFinished`.

    `spec` is a file, a mapping of the same shape, or a loaded spec; `changes` are fields of `RenderOptions`.
    Raises InputError (exit 2), CannotRun (5) before anything starts; failures of single chunks are events.
    """
    options = _options(options, changes)
    loaded = load(spec, options)
    _require_packages(loaded.spec.engine.name, options.serial)
    from farm.session import Scope

    scope = Scope(options.runs_url, options.job_id, options.last_stage, resume=options.resume)
    if options.serial:
        from farm.serial import render_serial

        return render_serial(loaded, scope)
    from farm.driver import RayOptions, render_on_ray
    from jobs.rules import require_hosts

    require_hosts(loaded.spec, options.topology or loaded.spec.run.topology)

    return render_on_ray(loaded, scope, RayOptions(options.topology, options.gpus, options.address))


def _require_packages(engine: str, serial: bool) -> None:
    """Raises CannotRun in a light install, which renders nothing but the fake engine in one process."""
    packages = {"fake": (), "comfyui": ("torch",), "diffusers": ("torch", "diffusers")}[engine]
    require_render(*packages, *(() if serial else ("ray",)))


def load(spec: SpecSource, options: RenderOptions) -> LoadedSpec:
    """The checked spec of a file, of a mapping (paths relative to the current folder), or itself."""
    from actors.latents import check_latents
    from actors.media.audio import check_sound
    from actors.media.frames import check_clip
    from actors.media.images import probe_image
    from actors.media.probe import probe_video
    from actors.models import TINY_CHECKPOINT
    from actors.models.tiny_words import read_bundled

    if isinstance(spec, LoadedSpec):
        return spec
    if not isinstance(spec, str | Path | Mapping):
        rule = "the path of a spec, a mapping of the same shape, or a loaded spec"
        raise UsageError([Problem("spec", type(spec).__name__, rule, "give one of these")])
    probes = Probes(
        probe_video, probe_image, check_sound, read_bundled, check_clip, check_latents, TINY_CHECKPOINT
    )
    return load_spec(spec, options.overrides, options.code, probes=probes)


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
    told = "; ".join([reason, *causes[:MOST_CAUSES]])
    message = f"job {event.job} ended {event.outcome}: {told}; `{more}` says more"
    if EXIT_CODES[event.outcome] == JobCancelled.exit_code:
        raise JobCancelled(message)
    error = JobFailed(message)
    error.causes = tuple(causes)
    raise error
