"""Videos: chunks, the material they open with, and the sound they carry."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from jobs.spec.base import Conformed, InputPath, Many, Model, Name, NumFrames, Size, refusal
from jobs.spec.chunk import Chunk
from jobs.spec.shot import Shot

MAX_OFFSET_S = 86_400.0


class Source(Model):
    """Existing material that opens the video; the first chunk may extend it."""

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


class Audio(Model):
    """Sound of the film: a file, or `generate`."""

    file: InputPath | None = Field(
        None,
        description="Audio file, or a video with sound; cut or padded to the film. Where it is the "
        "video's own `source`, it is heard with the frames that it belongs to.",
    )
    offset: float = Field(
        0.0,
        ge=-MAX_OFFSET_S,
        le=MAX_OFFSET_S,
        description="Seconds that the file is heard later (silence before it), or earlier where negative "
        "(its beginning is left out).",
    )
    mode: Literal["mux", "condition", "generate"] = Field(
        "mux",
        description="`mux` lays the file under the film, `condition` also lets each chunk hear its slice, "
        "`generate` lets the model make the sound, which goes on from that of a source video.",
    )
    sample_rate: int = Field(
        48_000, ge=8000, le=192_000, description="Samples per second of the film's track."
    )

    @model_validator(mode="after")
    def _file_fits_mode(self) -> Audio:
        if (self.file is None) != (self.mode == "generate"):
            raise refusal(
                "a `file` with mode `mux` or `condition`, none with `generate`",
                "name the audio file, or write `audio: generate`",
            )
        if self.offset and self.mode == "generate":
            raise refusal("an `offset` of a `file`", "leave out `offset`, or name the audio file")
        return self


def _named_audio(value: Any) -> Any:
    if isinstance(value, str) and value != "generate":
        raise refusal(
            "`{file, mode}`, or `generate`", f"write `audio: {{file: {value[:60]}}}`, or `generate`"
        )
    return {"mode": "generate"} if value == "generate" else value


class Video(Model):
    """One output file: a list of shots, or of the chunks that they are made of."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": ["shots"]}, {"required": ["chunks"]}]}
    )

    name: Name = Field(description="Name of the video and of its file, unique in the job.")
    source: Source | None = Field(None, description="Existing material to open with.")
    shots: Annotated[Many[Shot], Field(min_length=1, max_length=10_000)] = Field(
        (), description="What happens, in order and in seconds."
    )
    chunks: Annotated[Many[Chunk], Field(min_length=1, max_length=100_000)] = Field(
        (), description="The same chunk by chunk, in frames; `farm plan --explicit` prints it for shots."
    )
    audio: (
        Annotated[Audio, BeforeValidator(_named_audio, json_schema_input_type=Audio | Literal["generate"])]
        | None
    ) = Field(None, description="`{file, mode}`, or `generate`. Left out: silent.")
    width: Size | None = Field(None, description="Width of this video; left out: the default.")
    height: Size | None = Field(None, description="Height of this video; left out: the default.")
    frame_rate: float | None = Field(None, ge=1.0, le=240.0, description="Frames per second of this video.")

    @model_validator(mode="after")
    def _shots_or_chunks(self) -> Video:
        if bool(self.shots) == bool(self.chunks):
            rule = "`shots`, or the `chunks` that they are made of"
            remedy = "leave one of them out" if self.shots else "add `shots: [{name, seconds, prompt}]`"
            raise refusal(rule, remedy)
        return self
