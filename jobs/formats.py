"""Which codec fits which container, and what each needs: one pure table for checks, plans and ffmpeg."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Container:
    """A form in which films are delivered.

    `codecs` and `sounds`, the codecs of the film's track, start with the one taken when the spec names none.
    In each of these the track is sample-exact (AAC is not in mkv).
    """

    suffix: str
    codecs: tuple[str, ...]
    sounds: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Codec:
    """A video codec: ffmpeg's encoder and pixel formats, and the container of its segments.

    Segments are QuickTime whatever the film is: it holds every codec and PCM sound with exact time bases,
    where the whole milliseconds of mkv jitter at 24 frames per second.
    `pixel_formats` starts with the one taken when the spec names none. `pixel_bytes` is the usual size of one
    coded pixel, for estimates alone.
    """

    encoder: str
    pixel_formats: tuple[str, ...]
    segment_suffix: str
    has_crf: bool
    pixel_bytes: float

    @property
    def pixel_format(self) -> str:
        """The usual one."""
        return self.pixel_formats[0]


CONTAINERS: dict[str, Container] = {
    "mp4": Container(".mp4", ("h264", "hevc"), ("aac",)),
    "mkv": Container(".mkv", ("h264", "hevc", "ffv1", "prores"), ("flac", "pcm")),
    "mov": Container(".mov", ("h264", "hevc", "prores"), ("aac", "pcm")),
    "png-sequence": Container("", ("png",), ("pcm",)),
}

SOUNDS = {"aac": "aac", "flac": "flac", "pcm": "pcm_s24le"}
"""ffmpeg's encoders of sound."""
SOUND_SUFFIX = ".wav"
"""Of the sound beside a PNG sequence."""

CODECS: dict[str, Codec] = {
    "h264": Codec("libx264", ("yuv420p", "yuv444p"), ".mov", True, 0.06),
    "hevc": Codec("libx265", ("yuv420p", "yuv420p10le", "yuv444p"), ".mov", True, 0.04),
    "prores": Codec("prores_ks", ("yuv422p10le", "yuv444p10le"), ".mov", False, 0.6),
    "ffv1": Codec("ffv1", ("bgr0", "yuv422p10le", "yuv444p10le"), ".mov", False, 1.5),
    "png": Codec("png", ("rgb24",), ".mov", False, 1.5),
}

PIXEL_FORMATS = tuple(dict.fromkeys(each for codec in CODECS.values() for each in codec.pixel_formats))


@dataclass(frozen=True, slots=True)
class Profile:
    """A profile of ProRes: its number in ffmpeg's encoder, and its pixel format."""

    number: int
    pixel_format: str


USUAL_PROFILE = "hq"
PROFILES: dict[str, Profile] = {
    "proxy": Profile(0, "yuv422p10le"),
    "lt": Profile(1, "yuv422p10le"),
    "422": Profile(2, "yuv422p10le"),
    "hq": Profile(3, "yuv422p10le"),
    "4444": Profile(4, "yuv444p10le"),
}


def even_sides(pixel_format: str) -> tuple[int, int]:
    """What width and height are multiples of, where several pixels share their colour."""
    if pixel_format.startswith("yuv420"):
        return 2, 2
    return (2, 1) if pixel_format.startswith("yuv422") else (1, 1)


def usual_codec(container: str) -> str:
    """The codec of `container` when the spec names none."""
    return CONTAINERS[container].codecs[0]


def containers_of(codec: str) -> tuple[str, ...]:
    """Every container that takes `codec`."""
    return tuple(name for name, container in CONTAINERS.items() if codec in container.codecs)
