"""Retakes: parts of a source that are made anew, while all else of it stays as it is."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from jobs.spec.base import NumFrames, Seed, refusal
from jobs.spec.chunk import CommonSettings
from jobs.spec.engine import ShotLoras

MAX_SOURCE_FRAMES = 10_000_000
TIME = r"^[0-9]{1,5}(\.[0-9]{1,6})? ?s$"


def _moment(value: Any) -> Any:
    """A whole number, or a text that `TIME` matches."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and re.fullmatch(TIME.strip("^$"), value):
        return value
    spelled = f"{value:g}" if isinstance(value, float) and 0 <= value < 1e5 else "2.5"
    raise refusal(
        "a frame, such as 48, or a time with its unit, such as 2.5s", f"write `{spelled}s` for a time"
    )


Moment = Annotated[
    Annotated[int, Field(ge=0, le=MAX_SOURCE_FRAMES)] | Annotated[str, Field(pattern=TIME)],
    BeforeValidator(_moment),
]


class Retake(CommonSettings):
    """A part of the video's `source` that is made anew from a prompt. What surrounds it is held while it is
    sampled, so that it begins and ends in what was there; all other frames are those of the file."""

    start: Moment = Field(
        description="Where it begins: a frame of the film, or a time such as `2.5s`. The part is widened to "
        "whole latents of 8 frames; `farm plan` says to which."
    )
    stop: Moment = Field(description="Where it ends, likewise: the first frame that stays, or a time.")
    num_frames: NumFrames = Field(
        97, description="Frames that are sampled together, 8k + 1: the part, and what is held around it."
    )
    picture: bool = Field(True, description="Make the pictures anew; `false` keeps those of the source.")
    sound: bool | None = Field(
        None,
        description="Make the sound anew; `false` keeps that of the source. Left out: where the video's "
        "`sound` has `{generate: true}`.",
    )
    seed: Seed | None = Field(None, description="Seed of the part, taken literally. Left out: derived.")
    loras: ShotLoras = Field((), description="LoRAs of this part alone, as a shot has its own.")

    @model_validator(mode="after")
    def _makes_something(self) -> Retake:
        if not self.picture and self.sound is False:
            raise refusal("`picture` or `sound` that is made anew", "leave one of them out, or this retake")
        return self
