"""Guide images and sounds are what the spec takes them for: seen while it is checked, not hours later."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from jobs.errors import FarmError
from jobs.facts import PromptReader, VideoProbe
from jobs.file_rules import IMAGE_FIELDS, input_paths
from jobs.findings import Finding
from jobs.places import Location, shown
from jobs.spec import JobSpec

MediaProbe = Callable[[str], object]
"""Opens a file as what it must be. Raises FarmError or OSError where it is something else."""


@dataclass(frozen=True, slots=True)
class Probes:
    """How the files of a spec are looked into; None leaves a kind unseen. `video` also measures, `prompt`
    reads prompts as the bundled model does."""

    video: VideoProbe | None = None
    image: MediaProbe | None = None
    sound: MediaProbe | None = None
    prompt: PromptReader | None = None


NO_PROBES = Probes()


def check_media(spec: JobSpec, probes: Probes, skip: Collection[Location]) -> Iterator[Finding]:
    """Files that are no image or hold no sound, each path looked into once; `skip` is known to be faulty."""
    faults: dict[str, str] = {}
    for location, path in input_paths(spec):
        image = location[-1] in IMAGE_FIELDS
        probe = probes.image if image else probes.sound if location[-2:] == ("audio", "file") else None
        if probe is None or location in skip:
            continue
        if path not in faults:
            faults[path] = _fault(probe, path)
        if faults[path]:
            rule = "an image: PNG, JPEG or WebP" if image else "a file with sound that ffmpeg can read"
            yield Finding(location, f"{shown(path)}: {faults[path]}", rule, "give another file")


def _fault(probe: MediaProbe, path: str) -> str:
    try:
        probe(path)
    except (OSError, FarmError) as error:
        return str(error).splitlines()[0][:120]
    return ""
