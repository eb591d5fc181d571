"""Rules about what a job writes: names that do not meet, a place that can hold films, inputs left alone."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.formats import CODECS, CONTAINERS, PROFILES, containers_of, even_sides
from jobs.places import Location, place_of, shown
from jobs.planning.choices import numbers_of_takes
from jobs.planning.expand import film_names, variants
from jobs.planning.output_names import (
    PNG_SEQUENCE,
    OutputName,
    draft_name,
    draft_of,
    names_of_one,
    output_names,
    same_name,
    shown_format,
    take_film_name,
    take_name,
)
from jobs.rules.files import input_paths
from jobs.rules.findings import BrokenRule
from jobs.sound.tracks import shot_names, stem_titles
from jobs.spec.base import SAFE_NAME, is_there
from jobs.storage_problems import barred
from jobs.store.remote import EXCLUSIVE
from jobs.tasks.task import Stage

if TYPE_CHECKING:
    from jobs.planning.expand import Variant
    from jobs.spec.job import JobSpec
    from jobs.spec.output import FilmFormat, Output

LONGEST_NAME = 200
FOLDER: Location = ("output", "dir")
_NUMBERED = re.compile(r"\.v[1-9][0-9]*(?=(\.[a-z0-9]+)?$)")


def check_names(spec: JobSpec) -> Iterator[BrokenRule]:
    """No two things that the job writes have one name, capitals and Unicode forms aside, and no name is too
    long after the matrix is applied."""
    yield from _older_names(spec)
    seen: dict[str, tuple[OutputName, Location]] = {}
    for variant in variants(spec):
        location: Location = ("videos", variant.index, "name")
        for output in _names(variant, spec):
            other, first = seen.setdefault(same_name(output.name), (output, location))
            if other is not output:
                yield _meeting(output, other, location, first)
            if len(output.name) > LONGEST_NAME + len(".preview.mp4"):
                rule = f"{output.what} has at most {LONGEST_NAME} characters"
                yield BrokenRule(("output", "name"), shown(output.name), rule, "shorten it", (location,))
        if variant.name == Stage.ENCODE:
            rule = "tasks that several videos share go by this name"
            yield BrokenRule(location, shown(variant.name), rule, "give the video another name")
        if not SAFE_NAME.fullmatch(variant.name[:80]) or len(variant.name) > LONGEST_NAME:
            rule = f"at most {LONGEST_NAME} characters with what the matrix adds"
            yield BrokenRule(location, shown(variant.name), rule, "shorten the name", (("matrix",),))


def _names(variant: Variant, spec: JobSpec) -> Iterator[OutputName]:
    films, has_sound = film_names(variant, spec.output), bool(variant.video.sound)
    yield from output_names(variant.name, films, spec.output, has_sound, stem_titles(variant.video))
    formats = spec.output.formats
    if spec.run.approve is not None:
        draft = draft_name(variant.name, formats[0].container)
        yield from names_of_one(draft_of(variant.name), draft, formats, has_sound)
    for shot, count in zip(shot_names(variant.video), numbers_of_takes(variant.video), strict=True):
        for number in range(1, count + 1) if count > 1 else ():
            take = take_name(variant.name, shot, number)
            film = take_film_name(take, shown_format(formats).container)
            yield from names_of_one(take, film, formats, has_sound)


def _older_names(spec: JobSpec) -> Iterator[BrokenRule]:
    """Films that are kept get names which nothing else has."""
    if spec.output.versions == 1:
        return
    films = {
        same_name(name): variant for variant in variants(spec) for name in film_names(variant, spec.output)
    }
    for variant in variants(spec):
        for output in _names(variant, spec):
            replaced = films.get(same_name(_NUMBERED.sub("", output.name)))
            if replaced is not None and _NUMBERED.search(output.name):
                rule = f"an older film of {replaced.name}, which `output.versions` keeps, may have this name"
                location: Location = ("videos", variant.index, "name")
                yield BrokenRule(location, shown(output.name), rule, "give the video another name")


def _meeting(output: OutputName, other: OutputName, location: Location, first: Location) -> BrokenRule:
    """Two things of one name: of one video's deliveries, or of two videos."""
    if location == first:
        rule = f"deliveries have names of their own; {other.what} goes there, too"
        remedy = "give one of them another `name`, such as `name: '{video}-master'`"
        return BrokenRule(("output", "deliveries"), shown(output.name), rule, remedy, (first,))
    rule = f"names are unique, capitals aside; {place_of(first)} has it too: {other.what}"
    return BrokenRule(location, shown(output.name), rule, "give the video another name", (first,))


def check_formats(spec: JobSpec) -> Iterator[BrokenRule]:
    """Codec, profile, pixel format and sound of each delivery fit."""
    output = spec.output
    for number, form in enumerate(output.written):
        for field, rule, instead in _misfits(form, _is_own(output, number, "profile")):
            place, value = output.place(number, field), shown(getattr(form, field))
            where = "" if _is_own(output, number, field) else f" in deliveries[{number}]"
            depends = {each for name in ("container", "codec") for each in _places(output, number, name)}
            others = tuple(sorted(depends - {place}, key=str))
            yield BrokenRule(place, value, rule, f"write {instead}{where}", others)


def _places(output: Output, number: int, field: str) -> Iterator[Location]:
    """Where a delivery's value of a field stands, and where one stands that was left out as faulty."""
    yield output.place(number, field)
    if output.deliveries:
        yield "output", "deliveries", number, field


def _is_own(output: Output, number: int, field: str) -> bool:
    """Whether a delivery says a field itself."""
    return not output.deliveries or field in output.deliveries[number].model_fields_set


def _misfits(form: FilmFormat, own_profile: bool) -> Iterator[tuple[str, str, str]]:
    """Fields that do not fit the others: the field, the rule, what to write instead."""
    container, usual = CONTAINERS[form.container], form.usual
    codec = str(usual.codec)
    if codec not in container.codecs:
        fits = " or ".join(containers_of(codec))
        rule = f"{form.container} takes {', '.join(container.codecs)}"
        yield "codec", rule, f"`codec: {container.codecs[0]}`, or `container: {fits}`"
        return
    if form.profile is not None and own_profile and codec != "prores":
        yield "profile", f"a profile of prores; this is {codec}", "`codec: prores`, or leave `profile` out"
    if usual.profile == "4444" and form.container != "mov":
        yield "profile", "ProRes 4444 is in mov", "`container: mov`"
    fitting = (PROFILES[usual.profile].pixel_format,) if usual.profile else CODECS[codec].pixel_formats
    if usual.pixel_format not in fitting:
        of = f"{codec} {usual.profile}" if usual.profile else codec
        yield "pixel_format", f"{of} takes {', '.join(fitting)}", f"`pixel_format: {fitting[0]}`"
    across, down = even_sides(str(usual.pixel_format))
    width, height = form.pixels or (across, down)
    if width % across or height % down:
        rule = f"{usual.pixel_format} has {'sides' if down > 1 else 'a width'} of whole pairs of pixels"
        even = f"{width - width % across}x{height - height % down}"
        yield "size", rule, f"`size: {even}`, or a pixel format such as yuv444p where the codec has one"
    if usual.sound not in container.sounds:
        rule = f"sound in {form.container} is {' or '.join(container.sounds)}"
        yield "sound", rule, f"`sound: {container.sounds[0]}`"


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
    else:
        containers = [form.container for form in spec.output.formats]
        if PNG_SEQUENCE in containers:
            rule = "in an object store a film is one file, and a sequence is many"
            remedy = "write `container: mov` or `mkv`, or name a folder"
            place = spec.output.place(containers.index(PNG_SEQUENCE), "container")
            yield BrokenRule(FOLDER, shown(spec.output.dir), rule, remedy, (place,))


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
        bar = barred(nearest)
        value = f"{shown(str(nearest))} cannot be written"
        yield BrokenRule(FOLDER, f"{value}: {bar}" if bar else value, rule, remedy)


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
    has_sequence = any(form.container == PNG_SEQUENCE for form in spec.output.formats)
    for location, path in input_paths(spec):
        real = same_name(os.path.realpath(path))
        inputs[real] = location
        if has_sequence:
            inputs.setdefault(str(Path(real).parent), location)
    for variant in variants(spec):
        for output in _names(variant, spec):
            location = inputs.get(f"{folder}/{same_name(output.name)}", ())
            if location:
                rule = f"inputs are never overwritten; {output.what} goes there"
                remedy = "rename the video or choose another `output.dir`"
                yield BrokenRule(location, shown(output.name), rule, remedy, (("output",),))
