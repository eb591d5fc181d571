"""Guide images and sounds are what the spec takes them for: seen while it is checked, not hours later."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, TypeVar

from jobs.errors import FarmError
from jobs.places import Location, shown
from jobs.planning.expand import Variant, variants
from jobs.rules.files import IMAGE_FIELDS, input_paths
from jobs.rules.findings import BrokenRule
from jobs.rules.sound.heard import seconds_heard

if TYPE_CHECKING:
    from jobs.planning.facts import ImageFact, Probes, SoundFact, SourceFacts
    from jobs.spec.job import JobSpec

MOST_SAID = 300
AN_IMAGE = "an image: PNG, JPEG or WebP, whole"
A_SOUND = "a file with sound that ffmpeg can read, whole"
Fact = TypeVar("Fact")


def check_media(
    spec: JobSpec, probes: Probes, skip: Collection[Location], facts: SourceFacts
) -> tuple[list[BrokenRule], SourceFacts]:
    """Files that are no image or hold no sound, and the facts with those of the others; each path is looked
    into once for each use. `skip` is known to be faulty. Sounds are decoded as far as films play them.
    """
    heard = seconds_heard(intact_films(spec, skip), facts)
    looks = _Looks()
    images: dict[str, ImageFact] = {}
    sounds: dict[str, SoundFact] = {}
    for location, path in input_paths(spec):
        if location in skip:
            continue
        if location[-1] in (*IMAGE_FIELDS, "image") and probes.image is not None:
            looks.into(location, path, AN_IMAGE, probes.image, images)
        elif location[-1] == "file" and probes.sound is not None:
            probe = partial(probes.sound, seconds=heard.get(path, 0.0))
            looks.into(location, path, A_SOUND, probe, sounds)
    return looks.findings, replace(facts, images=images, sounds=sounds)


def intact_films(spec: JobSpec, faulty: Collection[Location]) -> Iterator[Variant]:
    """The films of which no part is faulty: they can be laid out."""
    if any(location[0] in ("matrix", "defaults") or location == ("videos",) for location in faulty):
        return
    broken = {location[1] for location in faulty if location[0] == "videos"}
    yield from (variant for variant in variants(spec) if variant.index not in broken)


class _Looks:
    """Looks into files, each once for each use, and remembers what was found of each and what is wrong with
    it."""

    def __init__(self) -> None:
        self.findings: list[BrokenRule] = []
        self._faults: dict[tuple[str, str], str] = {}

    def into(
        self,
        location: Location,
        path: str,
        rule: str,
        probe: Callable[[str], Fact],
        known: dict[str, Fact],
    ) -> None:
        use = (path, rule)
        if use not in self._faults:
            self._faults[use] = ""
            try:
                known[path] = probe(path)
            except (OSError, ValueError, FarmError) as error:
                self._faults[use] = said(error, path)
        if self._faults[use]:
            fault = f"{shown(path)}: {self._faults[use]}"
            self.findings.append(BrokenRule(location, fault, rule, "give another file"))


def said(error: Exception, path: str) -> str:
    """The first line of what is wrong with the file, without its path."""
    lines = str(error).splitlines() or [type(error).__name__]
    return shorten(lines[0].replace(path, Path(path).name), MOST_SAID, placeholder=" ...")
