"""Driving the farm from Python.

    import farm

    for event in farm.render("film.yaml", gpus=2):
        print(event)

`render` yields typed events (`farm.events`) as they happen and ends with `JobFinished`; `films` only waits
for the finished films.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from farm.advice import DEFAULT_RUNS, typed
from farm.events import Event, FilmDelivered, JobFinished
from farm.state import EXIT_CODES
from jobs.errors import JobCancelled, JobFailed
from jobs.graph import Stage
from jobs.load import LoadedSpec, load_spec
from jobs.media_rules import Probes

SpecSource = str | Path | Mapping[str, Any] | LoadedSpec


@dataclass(frozen=True, slots=True)
class RenderOptions:
    """How to render. Nothing here reaches a film's bytes.

    `runs` holds the run directories (a folder, or an fsspec URL); `serial` renders in this process without
    Ray; `gpus` is how many GPUs to use, logical ones where the machine has none; `address` joins a running
    Ray cluster; `topology` overrides `run.topology`; `until` ends after that stage; `overrides` are
    `key=value` texts; `resume` takes a cancelled job up again.
    """

    runs: str = DEFAULT_RUNS
    job_id: str | None = None
    serial: bool = False
    topology: str | None = None
    gpus: int | None = None
    address: str | None = None
    until: Stage | None = None
    overrides: Sequence[str] = ()
    allow_pickle: bool = False
    resume: bool = False


def render(spec: SpecSource, options: RenderOptions | None = None, **changes: Any) -> Iterator[Event]:
    """Renders a job and yields its events; the last is `JobFinished`.

    `spec` is a file, a mapping of the same shape, or a loaded spec; `changes` are fields of `RenderOptions`.
    Raises InputError (exit 2), CannotRun (5) before anything starts; failures of single chunks are events.
    """
    options = RenderOptions(**changes) if options is None else options
    loaded = load(spec, options)
    from farm.session import Scope

    scope = Scope(options.runs, options.job_id, options.until, resume=options.resume)
    if options.serial:
        from farm.serial import render_serial

        return render_serial(loaded, scope)
    from farm.driver import RayOptions, render_on_ray
    from jobs.rules import require_hosts

    require_hosts(loaded.spec, options.topology or loaded.spec.run.topology)

    return render_on_ray(loaded, scope, RayOptions(options.topology, options.gpus, options.address))


def load(spec: SpecSource, options: RenderOptions) -> LoadedSpec:
    """The checked spec of a file, of a mapping (paths relative to the current folder), or itself."""
    from actors.media.frames import probe_image
    from actors.media.probe import probe_audio, probe_video
    from actors.models.tiny_words import read_bundled

    if isinstance(spec, LoadedSpec):
        return spec
    probes = Probes(probe_video, probe_image, probe_audio, read_bundled)
    return load_spec(spec, options.overrides, options.allow_pickle, probes=probes)


def films(spec: SpecSource, options: RenderOptions | None = None, **changes: Any) -> list[FilmDelivered]:
    """Renders a job to its end and gives the films, in the order they were finished.

    Raises JobFailed or JobCancelled where the job did not end done, besides what `render` raises.
    """
    options = RenderOptions(**changes) if options is None else options
    delivered: list[FilmDelivered] = []
    for event in render(spec, options):
        if isinstance(event, FilmDelivered) and not event.preview:
            delivered.append(event)
        elif isinstance(event, JobFinished):
            _require_done(event, options.runs)
    return delivered


def _require_done(event: JobFinished, runs_url: str) -> None:
    if EXIT_CODES[event.outcome] == 0:
        return
    kind = JobCancelled if EXIT_CODES[event.outcome] == JobCancelled.exit_code else JobFailed
    reason = event.state.get("reason") or event.outcome
    raise kind(
        f"job {event.job} ended {event.outcome}: {reason}; `{typed('why', event.job, runs_url)}` says more"
    )
