"""Which codec fits which container, and what each needs: one pure table for checks, plans and ffmpeg."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Container:
    """A form in which films are delivered.

    `codecs` starts with the one taken when the spec names none; `audio` is the codec of the film's track,
    chosen so that the track is sample-exact (AAC is not in mkv), or None where there can be no sound.
    """

    suffix: str
    codecs: tuple[str, ...]
    audio: str | None


@dataclass(frozen=True, slots=True)
class Codec:
    """A video codec: ffmpeg's encoder and pixel format, and the container of its segments.

    Segments are QuickTime whatever the film is: it holds every codec and PCM sound with exact time bases,
    where the whole milliseconds of mkv jitter at 24 frames per second.
    `pixel_bytes` is the usual size of one coded pixel, for estimates alone.
    """

    encoder: str
    pixel_format: str
    segment_suffix: str
    has_crf: bool
    pixel_bytes: float


CONTAINERS: dict[str, Container] = {
    "mp4": Container(".mp4", ("h264", "hevc"), "aac"),
    "mkv": Container(".mkv", ("h264", "hevc", "ffv1", "prores"), "flac"),
    "mov": Container(".mov", ("h264", "hevc", "prores"), "aac"),
    "png-sequence": Container("", ("png",), None),
}

CODECS: dict[str, Codec] = {
    "h264": Codec("libx264", "yuv420p", ".mov", True, 0.06),
    "hevc": Codec("libx265", "yuv420p", ".mov", True, 0.04),
    "prores": Codec("prores_ks", "yuv422p10le", ".mov", False, 0.6),
    "ffv1": Codec("ffv1", "bgr0", ".mov", False, 1.5),
    "png": Codec("png", "rgb24", ".mov", False, 1.5),
}


def usual_codec(container: str) -> str:
    """The codec of `container` when the spec names none."""
    return CONTAINERS[container].codecs[0]


def containers_of(codec: str) -> tuple[str, ...]:
    """Every container that takes `codec`."""
    return tuple(name for name, container in CONTAINERS.items() if codec in container.codecs)
