"""The runs directory, the output folder, and the room on their disks."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from farm.doctor.finding import Finding, fail, ok, warn
from farm.output.outlets import outlet_of
from farm.output.ownership import foreign_outputs
from jobs.errors import FarmError
from jobs.store.opening import open_backend, probe
from jobs.store.store import Store
from jobs.tasks.retention import estimate_disk

if TYPE_CHECKING:
    from jobs.planning.planned import Plan
    from jobs.spec.job import JobSpec
    from jobs.spec.output import Output
    from jobs.tasks.task import TaskGraph

GIB = 2**30
PROBE_JOB = "farm-doctor-probe"
HEADROOM = 1.2


def check_store(runs_url: str) -> Iterator[Finding]:
    """Whether results can be committed there: writable, and exclusive creates hold."""
    try:
        _probe(runs_url)
    except FarmError as error:
        yield fail("store", str(error), "choose a writable --runs, on storage that creates files exclusively")
        return
    yield ok("store", f"{runs_url} is writable and commits are exclusive")


def _probe(runs_url: str) -> None:
    """Tries the store in a folder of its own, and leaves nothing behind."""
    backend = open_backend(runs_url, PROBE_JOB)
    folder = backend.path("")
    made = _missing(folder) if folder is not None else []
    try:
        probe(backend)
    finally:
        for place in made:
            with contextlib.suppress(OSError):
                place.rmdir()


def _missing(folder: Path) -> list[Path]:
    """The folder and those above it that do not exist yet, innermost first."""
    return [place for place in (folder, *folder.parents) if not place.exists()]


def check_disk(runs_url: str, spec: JobSpec, graph: TaskGraph) -> Iterator[Finding]:
    """Free room against the plan's peak."""
    need = int(estimate_disk(graph, spec.run.keep).peak_bytes * HEADROOM)
    free = _free_bytes(runs_url)
    if free is None:
        yield ok("disk", f"the job needs up to {need / GIB:.1f} GiB; this store does not say what is free")
    elif free < need:
        message = f"the job needs up to {need / GIB:.1f} GiB, {free / GIB:.1f} GiB are free at {runs_url}"
        yield fail("disk", message, "make room, choose another --runs, or render fewer videos at once")
    else:
        yield ok("disk", f"{free / GIB:.1f} GiB free, the job needs up to {need / GIB:.1f} GiB")


def _free_bytes(runs_url: str) -> int | None:
    """Free room of a folder that may not exist yet; None for stores that do not say."""
    folder = open_backend(runs_url, PROBE_JOB).path("")
    return None if folder is None else shutil.disk_usage(_nearest(folder)).free


def _nearest(folder: Path) -> Path:
    """The folder, or the first of its parents that exists."""
    return next((place for place in (folder, *folder.parents) if place.exists()), Path("/"))


def check_output(output: Output) -> Iterator[Finding]:
    """Whether films can be written."""
    if "://" in output.dir:
        try:
            outlet_of(output.dir).probe()
        except FarmError as error:
            yield fail("output", str(error), "grant access, or choose another output.dir")
        else:
            yield ok("output", f"films go to {output.dir}")
        return
    folder = Path(output.dir)
    nearest = _nearest(folder)
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        yield fail(
            "output", f"{folder} cannot be written", "choose another output.dir, or change its permissions"
        )
    elif folder.is_absolute() and folder.parts[1:2] == ("tmp",):
        yield warn("output", f"{folder} lies under /tmp", "films there may vanish; choose a lasting folder")
    else:
        yield ok("output", f"films go to {folder}")


def check_films(plan: Plan, runs_url: str, job_id: str | None) -> Iterator[Finding]:
    """Whether all that stands where films go is the job's own."""
    try:
        for problem in foreign_outputs(plan, Store.at(runs_url, job_id or plan.job)):
            yield fail("films", f"{problem.place}: {problem.value}; {problem.rule}", problem.remedy)
    except FarmError as error:
        yield fail("films", str(error), "make --runs and output.dir readable")
