"""What films are delivered as, and where."""

from __future__ import annotations

import re
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_serializer

from jobs.formats import CODECS, CONTAINERS, PIXEL_FORMATS, PROFILES, SOUNDS, USUAL_PROFILE, usual_codec
from jobs.spec.base import MAX_SIDE, Fit, Many, Model, OutputFolder, refusal

if TYPE_CHECKING:
    from pydantic import SerializerFunctionWrapHandler

    from jobs.places import Location

FILMS = "out"
PLACEHOLDERS = ("video", "seed", "date")
"""Words that the name of a film may hold in braces."""
DATE = "{date}"
LEAST_SIDE = 16
_PIXELS = re.compile(r"[1-9][0-9]{0,5}x[1-9][0-9]{0,5}")
_PLAIN = re.compile(r"[A-Za-z0-9._-]*")


def _check_pattern(value: str) -> str:
    plain = value
    for word in PLACEHOLDERS:
        plain = plain.replace("{" + word + "}", "x")
    if "{video}" in value and _PLAIN.fullmatch(plain) and plain[0].isalnum() and not plain.endswith("."):
        return value
    words = ", ".join("{" + word + "}" for word in PLACEHOLDERS)
    raise refusal(
        f"letters, digits, '-', '_' and '.' around {words}, of which {{video}} is there",
        "write for example '{video}-master'",
    )


def _check_pixels(value: Any) -> Any:
    sides = [int(side) for side in value.split("x")] if _PIXELS.fullmatch(str(value)) else []
    if sides and min(sides) >= LEAST_SIDE and max(sides) <= MAX_SIDE:
        return value
    rule = f"width and height in pixels, {LEAST_SIDE} to {MAX_SIDE} each"
    raise refusal(rule, "write for example 1920x1080")


FileName = Annotated[str, Field(max_length=120), AfterValidator(_check_pattern)]
Pixels = Annotated[str, BeforeValidator(_check_pixels), Field(json_schema_extra={"pattern": _PIXELS.pattern})]


class FilmFormat(Model):
    """What a film is written as."""

    container: Literal[tuple(CONTAINERS)] = Field("mp4", description="File format.")  # type: ignore[valid-type]
    codec: Literal[tuple(CODECS)] | None = Field(  # type: ignore[valid-type]
        None,
        description="Video codec. mp4: h264, hevc; mov: also prores; mkv: also prores, ffv1; png-sequence: "
        "png. Left out: the first.",
    )
    profile: Literal[tuple(PROFILES)] | None = Field(  # type: ignore[valid-type]
        None, description=f"Profile of prores, `4444` in mov alone. Left out: `{USUAL_PROFILE}`."
    )
    pixel_format: Literal[PIXEL_FORMATS] | None = Field(  # type: ignore[valid-type]
        None,
        description="Pixel format, as ffmpeg names it. Left out: the codec's usual one, yuv420p of h264 and "
        "hevc, that of the profile of prores, bgr0 of ffv1 (lossless, as the png of a sequence is).",
    )
    crf: int = Field(16, ge=0, le=51, description="Quality of h264 and hevc; lower is better and larger.")
    preset: Literal["ultrafast", "veryfast", "faster", "fast", "medium", "slow", "slower"] = Field(
        "medium", description="Effort of h264 and hevc encoding."
    )
    sound: Literal[tuple(SOUNDS)] | None = Field(  # type: ignore[valid-type]
        None,
        description="Codec of the sound. mp4: aac; mov: also pcm (24 bits); mkv: flac, pcm; png-sequence: "
        "pcm, in a `.wav` file beside the folder. Left out: the first.",
    )
    size: Pixels | None = Field(
        None,
        description="Exact size, such as `1920x1080`: frames are scaled to cover it or to fit into it, the "
        "aspect kept, then cropped or padded around their centre. Left out: as rendered.",
    )
    fit: Fit = Field("crop", description="`crop` cuts off what is over `size`, `pad` adds black bars.")
    scaler: Literal["lanczos", "bicubic", "bilinear", "area"] = Field(
        "lanczos", description="Filter that `size` resamples with, as swscale names it."
    )
    chapters: bool = Field(False, description="Each shot is a chapter of mp4, mov and mkv, under its name.")
    name: FileName = Field(
        "{video}",
        description="Name of the file, without its suffix. `{video}` is the video's name, `{seed}` the job "
        "seed that it was made with, `{date}` the day (UTC) of the job's first render, `2026-11-30`.",
    )

    @field_validator("profile", mode="before")
    @classmethod
    def _number_or_name(cls, value: Any) -> Any:
        return str(value) if type(value) is int else value

    @property
    def pixels(self) -> tuple[int, int] | None:
        """Width and height of `size`."""
        if self.size is None:
            return None
        width, height = self.size.split("x")
        return int(width), int(height)

    @property
    def usual(self) -> FilmFormat:
        """The same with everything that was left out but could be said."""
        codec = self.codec or usual_codec(self.container)
        profile = (self.profile or USUAL_PROFILE) if codec == "prores" else None
        usual = PROFILES[profile].pixel_format if profile else CODECS[codec].pixel_format
        return self.model_copy(
            update={
                "codec": codec,
                "profile": profile,
                "pixel_format": self.pixel_format or usual,
                "sound": self.sound or CONTAINERS[self.container].sounds[0],
            }
        )


class DeliveryFormat(FilmFormat):
    """One of several forms of each film. What it leaves out is as `output` says."""

    @model_serializer(mode="wrap")
    def _as_written(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in handler(self).items() if name in self.model_fields_set}


class Output(FilmFormat):
    """Where films go, and as what."""

    dir: OutputFolder = Field(
        FILMS, description="Folder of the films, relative to the spec, or a URL such as `s3://bucket/films`."
    )
    deliveries: Annotated[Many[DeliveryFormat], Field(max_length=16)] = Field(
        (),
        description="Several forms of each film, all with the same frames, made from one sampling. Left out: "
        "one, which is what `output` itself says.",
    )

    versions: int = Field(
        1,
        ge=1,
        le=1000,
        description="Films that are kept of each name: the newest, and those that it replaced as "
        "`<name>.v1.mp4`, `<name>.v2.mp4`, ... A film that is replaced by an equal one is not kept twice.",
    )
    timeline: Literal["otio"] | None = Field(
        None,
        description="`otio` lays an OpenTimelineIO file beside the film: a clip for each shot, markers at "
        "chunks and beats, prompts and seeds as metadata. Left out: none.",
    )

    @cached_property
    def written(self) -> tuple[FilmFormat, ...]:
        """What the spec says of each delivery, or of the only one."""
        return tuple(self._format(delivery) for delivery in self.deliveries or (DeliveryFormat(),))

    @cached_property
    def formats(self) -> tuple[FilmFormat, ...]:
        """The same with nothing left out."""
        return tuple(form.usual for form in self.written)

    def place(self, delivery: int, field: str) -> Location:
        """Where the spec says, or could say, the value of a field of one of `formats`."""
        if self.deliveries and field in self.deliveries[delivery].model_fields_set:
            return "output", "deliveries", delivery, field
        return "output", field

    def _format(self, delivery: DeliveryFormat) -> FilmFormat:
        values = {
            name: getattr(delivery if name in delivery.model_fields_set else self, name)
            for name in FilmFormat.model_fields
        }
        return FilmFormat.model_construct(**values)
