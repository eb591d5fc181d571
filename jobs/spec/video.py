"""Videos: shots or chunks, the material that they open with, and their sound."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field, model_validator

from jobs.spec.base import Conformed, InputPath, Many, Model, Name, NumFrames, Size, refusal
from jobs.spec.chunk import Chunk
from jobs.spec.retake import Retake
from jobs.spec.shot import Shot
from jobs.spec.sound import SoundMix, SoundTracks


class Source(Model):
    """Existing material that opens the video; the first chunk may extend it, or `retakes` make parts of it
    anew."""

    video: InputPath | None = Field(
        None,
        description="Video file, scaled to the job's size; frame f is the one that it shows at "
        "f / `frame_rate`. HDR is tone-mapped to BT.709, transparent parts are shown over black.",
    )
    latent: InputPath | None = Field(None, description="Latent file (`.safetensors`) of the job's size.")
    last_frames: NumFrames | None = Field(
        None, description="Take only this many frames from its end, 8k + 1. Left out: as many as fit."
    )

    fit: Conformed = "crop"

    @model_validator(mode="after")
    def _exactly_one(self) -> Source:
        if (self.video is None) == (self.latent is None):
            raise refusal("either `video` or `latent`", "name one file")
        return self

    @property
    def path(self) -> str:
        """The file, whichever kind it is."""
        return self.video or self.latent or ""


class Video(Model):
    """One output file: a list of shots, or of the chunks that they are made of, or its source with parts of
    it made anew."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [{"required": ["shots"]}, {"required": ["chunks"]}, {"required": ["retakes"]}]
        }
    )

    name: Name = Field(description="Name of the video and of its file, unique in the job.")
    source: Source | None = Field(None, description="Existing material to open with.")
    shots: Annotated[Many[Shot], Field(min_length=1, max_length=10_000)] = Field(
        (), description="What happens, in order and in seconds."
    )
    chunks: Annotated[Many[Chunk], Field(min_length=1, max_length=100_000)] = Field(
        (), description="The same chunk by chunk, in frames; `farm plan --explicit` prints it for shots."
    )
    retakes: Annotated[Many[Retake], Field(min_length=1, max_length=1000)] = Field(
        (),
        description="Parts of `source` that are made anew, each `{start, stop, prompt}`. The film is the "
        "source, and nothing is added to it.",
    )
    sound: SoundTracks = Field(
        (),
        description="Tracks that are mixed: `{generate: true}` or `{file: PATH}`, and how. Left out: silent.",
    )
    mix: SoundMix = Field(SoundMix(), description="What becomes of the tracks of `sound`.")
    width: Size | None = Field(None, description="Width of this video; left out: the default.")
    height: Size | None = Field(None, description="Height of this video; left out: the default.")
    frame_rate: float | None = Field(None, ge=1.0, le=240.0, description="Frames per second of this video.")

    @model_validator(mode="after")
    def _one_kind(self) -> Video:
        if bool(self.shots) + bool(self.chunks) + bool(self.retakes) != 1:
            rule = "`shots`, or the `chunks` that they are made of, or `retakes` of its source"
            some = self.shots or self.chunks or self.retakes
            raise refusal(rule, "leave one of them out" if some else "add `shots: [{name, seconds, prompt}]`")
        if self.retakes and (self.source is None or self.source.video is None):
            raise refusal("a `source` with a `video` beside `retakes`", "add `source: {video: PATH}`")
        return self
