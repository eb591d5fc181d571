"""Rules about what a job writes: names that do not meet, a place that can hold films, inputs left alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.places import Location, place_of, shown
from jobs.planning.expand import variants
from jobs.planning.output_names import PNG_SEQUENCE, OutputName, output_names, same_name
from jobs.rules.files import input_paths
from jobs.rules.findings import BrokenRule
from jobs.spec.base import SAFE_NAME, is_there
from jobs.store.remote import EXCLUSIVE
from jobs.tasks.task import Stage

if TYPE_CHECKING:
    from jobs.spec.job import JobSpec

LONGEST_NAME = 200
FOLDER: Location = ("output", "dir")


def check_names(spec: JobSpec) -> Iterator[BrokenRule]:
    """No two things that the job writes have one name, capitals and Unicode forms aside, and no name is too
    long after the matrix is applied."""
    seen: dict[str, tuple[OutputName, Location]] = {}
    for variant in variants(spec):
        location: Location = ("videos", variant.index, "name")
        for output in output_names(variant.name, spec.output.container):
            other, first = seen.setdefault(same_name(output.name), (output, location))
            if other is not output:
                rule = f"names are unique, capitals aside; {place_of(first)} has it too: {other.what}"
                yield BrokenRule(location, shown(output.name), rule, "give the video another name", (first,))
        if variant.name == Stage.ENCODE:
            rule = "tasks that several videos share go by this name"
            yield BrokenRule(location, shown(variant.name), rule, "give the video another name")
        if not SAFE_NAME.fullmatch(variant.name[:80]) or len(variant.name) > LONGEST_NAME:
            rule = f"at most {LONGEST_NAME} characters with what the matrix adds"
            yield BrokenRule(location, shown(variant.name), rule, "shorten the name", (("matrix",),))


def check_output_url(spec: JobSpec) -> Iterator[BrokenRule]:
    """A URL names an object store that runs can live in too; each film is one object."""
    scheme, slashes, rest = spec.output.dir.partition("://")
    if not slashes:
        return
    if scheme not in EXCLUSIVE:
        rule = f"a folder, or a URL of {', '.join(f'{name}://' for name in EXCLUSIVE)}"
        yield BrokenRule(FOLDER, shown(spec.output.dir), rule, "name one of these")
    elif not rest.partition("/")[0]:
        rule = f"{scheme}:// is followed by a bucket"
        yield BrokenRule(FOLDER, shown(spec.output.dir), rule, "name the bucket")
    elif spec.output.container == PNG_SEQUENCE:
        rule = "in an object store a film is one file, and a sequence is many"
        remedy = "write `container: mov` or `mkv`, or name a folder"
        yield BrokenRule(FOLDER, shown(spec.output.dir), rule, remedy, (("output", "container"),))


def check_output_folder(spec: JobSpec) -> Iterator[BrokenRule]:
    """The output folder can be one, or its store has a driver here."""
    scheme, slashes, _ = spec.output.dir.partition("://")
    if slashes:
        package = EXCLUSIVE.get(scheme)
        if package is not None and find_spec(package) is None and not list(check_output_url(spec)):
            rule = f"{scheme}:// needs the package {package}"
            remedy = f"`pip install {package}`, or name a folder"
            yield BrokenRule(FOLDER, shown(spec.output.dir), rule, remedy)
        return
    folder = Path(spec.output.dir)
    if fault := _unreachable(folder):
        value = f"{shown(spec.output.dir)}: {fault}"
        yield BrokenRule(FOLDER, value, "a folder that can be reached", "name another folder")
        return
    nearest = next((part for part in (folder, *folder.parents) if is_there(part)), None)
    if nearest is not None and not nearest.is_dir():
        rule = "a folder, existing or not"
        yield BrokenRule(FOLDER, f"{shown(str(nearest))} is a file", rule, "name another folder")
    elif nearest is not None and not os.access(nearest, os.W_OK | os.X_OK):
        rule, remedy = (
            "a folder that films can be written into",
            "name another one, or change its permissions",
        )
        yield BrokenRule(FOLDER, f"{shown(str(nearest))} cannot be written", rule, remedy)


def _unreachable(folder: Path) -> str:
    """Why nothing can ever stand in this folder, such as a name that is too long or a loop of links."""
    try:
        (folder / "film").lstat()
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except (OSError, ValueError) as error:
        return getattr(error, "strerror", None) or str(error)
    return ""


def check_inputs_stay(spec: JobSpec) -> Iterator[BrokenRule]:
    """No input stands where a film or a preview goes, or in the folder of a PNG sequence."""
    folder = same_name(os.path.realpath(spec.output.dir))
    inputs: dict[str, Location] = {}
    for location, path in input_paths(spec):
        real = same_name(os.path.realpath(path))
        inputs[real] = location
        if spec.output.container == PNG_SEQUENCE:
            inputs.setdefault(str(Path(real).parent), location)
    for variant in variants(spec):
        for output in output_names(variant.name, spec.output.container):
            location = inputs.get(f"{folder}/{same_name(output.name)}", ())
            if location:
                rule = f"inputs are never overwritten; {output.what} goes there"
                remedy = "rename the video or choose another `output.dir`"
                yield BrokenRule(location, shown(output.name), rule, remedy, (("output",),))
