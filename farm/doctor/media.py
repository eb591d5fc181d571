"""ffmpeg and the encoders that films need."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from actors.media.colors import FILTERS
from actors.media.ffmpeg import find_ffmpeg
from actors.sound.loudness import LEVELING
from farm.doctor.finding import Finding, fail, ok, warn
from jobs.errors import MissingFFmpeg
from jobs.formats import CODECS, SOUNDS

if TYPE_CHECKING:
    from jobs.spec.job import JobSpec

INSTALL = "install an ffmpeg that has it, or point FARM_FFMPEG at one"


def check_media(spec: JobSpec | None) -> Iterator[Finding]:
    """The binary, and the encoders that the spec's films need (without a spec: all of them, as warnings)."""
    try:
        ffmpeg = find_ffmpeg()
    except MissingFFmpeg as error:
        yield fail("ffmpeg", str(error), "pip install imageio-ffmpeg, or set FARM_FFMPEG")
        return
    yield ok("ffmpeg", f"{ffmpeg.version} at {ffmpeg.path}")
    level = fail if spec else warn
    lacking = [(encoder, use) for encoder, use in _wanted(spec).items() if encoder not in ffmpeg.encoders]
    for encoder, use in lacking:
        yield level("codecs", f"this build has no {encoder}, which {use} needs", INSTALL)
    if not lacking:
        yield ok("codecs", f"{', '.join(_wanted(spec))}")
    levels = spec is not None and any(video.mix.loudness is not None for video in spec.videos)
    if levels and (lacks := [name for name in LEVELING if name not in ffmpeg.filters]):
        yield fail("filters", f"this build has no {' and no '.join(lacks)}, which `loudness` needs", INSTALL)
    if missing := [name for name in FILTERS if name not in ffmpeg.filters]:
        message = f"this build has no {' and no '.join(missing)}: HDR sources are refused"
        yield warn("filters", message, INSTALL)


def _wanted(spec: JobSpec | None) -> dict[str, str]:
    """ffmpeg's encoders by name, and what needs each."""
    if spec is None:
        pictures = {codec.encoder: f"codec {name}" for name, codec in CODECS.items()}
        return pictures | {encoder: f"sound as {name}" for name, encoder in SOUNDS.items()}
    wanted = {CODECS[str(form.codec)].encoder: f"codec {form.codec}" for form in spec.output.formats}
    if any(video.sound for video in spec.videos):
        wanted |= {SOUNDS[str(form.sound)]: f"sound as {form.sound}" for form in spec.output.formats}
    return wanted
