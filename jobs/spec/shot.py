"""Shots: what a director writes. The planner makes the chunks."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from jobs.spec.base import Conformed, InputPath, Many, Model, Name, Seed, Strength
from jobs.spec.chunk import MAX_PROMPT, TAKES, Settings, Takes, require_one_file
from jobs.spec.engine import LORAS, ShotLoras

MAX_SECONDS = 86_400.0


class ShotBeat(Model):
    """What changes within a shot: from here on, another prompt."""

    at: float = Field(
        gt=0.0,
        le=MAX_SECONDS,
        description="Seconds from the shot's start; snapped to a latent's first frame.",
    )
    prompt: str = Field(min_length=1, max_length=MAX_PROMPT, description="What the shot shows from then on.")


class ShotImage(Model):
    """An image that a shot shows at a moment, or a short clip that it shows from there on."""

    at: float = Field(
        ge=0.0,
        le=MAX_SECONDS,
        description="Seconds from the shot's start at which it is shown, or the video begins. What is held "
        "is snapped to whole latents.",
    )
    image: InputPath | None = Field(None, description="Image file; transparent parts are shown over black.")
    video: InputPath | None = Field(
        None,
        description="Video file instead, of 25 frames or more, which is held; the first is only looked at.",
    )
    hold: bool = Field(
        False,
        description="Shown as it is, and two chunks meet there that do not wait for each other, but at the "
        "ends of the shot. Of stills 8 frames apart, they meet at the middle one.",
    )
    strength: Strength = Field(1.0, description="Strength of the image.")
    fit: Conformed = "crop"

    @model_validator(mode="after")
    def _one_file(self) -> ShotImage:
        require_one_file(self.image, self.video, self.hold)
        return self

    @property
    def path(self) -> str:
        """The file, whichever kind it is."""
        return self.image or self.video or ""


class Shot(Settings):
    """The film between two cuts, in seconds. Its chunks are made from `num_frames`,
    `num_new_frames` and `overlap_frames` of `defaults`."""

    name: Name = Field(
        description="Name of the shot, unique in its video. Its seeds depend on it, not on where it stands."
    )
    seconds: float = Field(
        gt=0.0, le=MAX_SECONDS, description="How long it lasts; snapped to 8k + 1 frames, 9 at least."
    )
    beats: Annotated[Many[ShotBeat], Field(max_length=1000)] = Field(
        (), description="Further prompts, by time."
    )
    images: Annotated[Many[ShotImage], Field(max_length=1000)] = Field(
        (), description="Images and clips, each `{at, image | video, hold, strength}`."
    )
    takes: Takes = Field(1, description=TAKES)
    loras: ShotLoras = Field((), description=LORAS)
    seed: Seed | None = Field(
        None, description="Seed of the shot, which then may be renamed. Left out: derived from its name."
    )
