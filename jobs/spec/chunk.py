"""Chunks and their settings. What a chunk leaves out comes from `defaults`."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, model_validator

from jobs.spec.base import (
    MAX_FRAMES,
    Conformed,
    InputPath,
    Many,
    Model,
    MoreFrames,
    Name,
    NumFrames,
    Seed,
    Size,
    Strength,
    refusal,
)  # fmt: skip
from jobs.spec.engine import LORAS, ShotLoras

AttentionMode = Literal["auto", "default", "sage"]
MAX_REPEAT = 100_000
MAX_PROMPT = 20_000
MAX_TAKES = 100


class Guider(Model):
    """A guider by name, with its parameters."""

    name: str = Field("cfg", pattern=r"^[A-Za-z0-9_]+$", max_length=80, description="`cfg` or `stg`.")
    params: dict[str, bool | int | float | str | Many[int] | Many[float] | Many[Many[int]]] = Field(
        default_factory=dict,
        max_length=32,
        description="Parameters of the guider, by name. `stg` takes `stg_scale`, `rescale` and `blocks`; for "
        "LTX-2 also `audio_cfg` and `modality` (with comfyui on cores from 0.32 on); for LTX-Video with "
        "diffusers also `cfg_star_rescale`, `space: velocity`, and `levels`: noise levels down to which "
        "each value of a list counts, where `cfg`, `stg_scale`, `rescale` and `blocks` are lists.",
    )


def _named_guider(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


AnyGuider = Annotated[Guider, BeforeValidator(_named_guider, json_schema_input_type=Guider | str)]


def _falling(values: tuple[float, ...]) -> tuple[float, ...]:
    if all(one > other for one, other in pairwise(values)):
        return values
    raise refusal("noise levels that fall from each to the next", "sort them, and remove what stands twice")


DISTILLED = (1.0, 0.99375, 0.9875, 0.98125, 0.975, 0.909375, 0.725, 0.421875, 0.0)
"""The noise levels that Lightricks distilled LTX-Video 0.9.6 and LTX-2 on."""


def levels_by_name(named: dict[str, tuple[float, ...]]) -> BeforeValidator:
    """Takes noise levels by name."""
    return BeforeValidator(
        lambda value: named.get(value, value) if isinstance(value, str) else value,
        json_schema_input_type=list[float] | Literal[tuple(named)],
    )


Sigmas = Annotated[
    Many[Annotated[float, Field(ge=0.0, le=1000.0)]],
    Field(min_length=2, max_length=1001),
    AfterValidator(_falling),
]


def require_one_file(image: str | None, video: str | None, hold: bool = True) -> None:
    """An image or a video is named, and a video is held."""
    if (image is None) == (video is None):
        raise refusal("either `image` or `video`", "name one file")
    if video is not None and not hold:
        raise refusal("a `video` is held where two chunks meet", "write `hold: true` beside it")


class Reference(Model):
    """What a chunk looks at while its first pass is made, through an IC-LoRA: a face or a
    sheet of views, or a clip that shows pose, depth or edges."""

    image: InputPath | None = Field(None, description="Image file; transparent parts are shown over black.")
    video: InputPath | None = Field(
        None,
        description="Video file instead, of 9 frames or more: its first is the first of the chunk, of an "
        "extend the first of its overlap, and what is longer than the chunk is left out.",
    )
    scale: int = Field(
        1,
        ge=1,
        le=8,
        description="How many times smaller than the film it is shown: what the IC-LoRA was trained with, "
        "`reference_downscale_factor` in its file.",
    )
    strength: Strength = Field(1.0, description="Share of the noise kept away from it; 1 leaves it clean.")
    attention: Strength = Field(
        1.0, description="How much it and the clip look at each other; 1 is as trained, 0 hides it."
    )
    fit: Conformed = "crop"

    @model_validator(mode="after")
    def _one_file(self) -> Reference:
        require_one_file(self.image, self.video)
        return self

    @property
    def path(self) -> str:
        """The file, whichever kind it is."""
        return self.image or self.video or ""


class CommonSettings(Model):
    """How anything is sampled, with guide images and an overlap or without."""

    prompt: str | None = Field(None, min_length=1, max_length=MAX_PROMPT, description="What the chunk shows.")
    negative: str = Field("", max_length=MAX_PROMPT, description="What it should not show.")
    steps: int = Field(20, ge=1, le=1000, description="Sampling steps.")
    cfg: float = Field(
        3.0, ge=0.0, le=100.0, description="Classifier-free guidance scale; 1 switches it off."
    )
    sampler: str = Field(
        "euler",
        pattern=r"^[a-z0-9_]+$",
        max_length=80,
        description="Sampler, by name: `dpmpp_2m`, `euler`, `euler_ancestral`, `heun`, `lcm` or `res_2s` "
        "with diffusers, any of its core's with comfyui.",
    )
    sigmas: Annotated[Sigmas, levels_by_name({"distilled": DISTILLED})] | None = Field(
        None,
        description="Noise levels, falling, or `distilled`; they replace `steps`, `max_shift`, `base_shift`.",
    )
    guider: AnyGuider = Field(Guider(), description="Guider: a name, or `{name, params}`.")
    max_shift: float = Field(2.05, ge=0.0, le=100.0, description="Scheduler shift at 4096 tokens.")
    base_shift: float = Field(0.95, ge=0.0, le=100.0, description="Scheduler shift at 1024 tokens.")
    attention_mode: AttentionMode = Field(
        "auto", description="Attention kernel; `auto` measures once and freezes the fastest in the plan."
    )
    ffn_chunks: int = Field(0, ge=0, le=16, description="Split feed-forward layers to save memory; 0 is off.")
    references: Annotated[Many[Reference], Field(max_length=16)] = Field(
        (),
        description="Images and clips for an IC-LoRA, each `{image | video, scale, strength, attention}`: "
        "LTX-2 with diffusers. A list that is written replaces that of `defaults`.",
    )


class Settings(CommonSettings):
    """How a chunk is sampled. Valid in `defaults` and in every chunk, which overrides them."""

    crf: int = Field(35, ge=0, le=51, description="H.264 quality that guide images go through first.")
    image_strength: Strength = Field(
        0.95, description="Share of the noise kept away from guided frames; times the guide's own strength."
    )
    first_strength: Strength = Field(1.0, description="Strength of `first_image`.")
    middle_strength: Strength = Field(1.0, description="Strength of `middle_image`.")
    last_strength: Strength = Field(1.0, description="Strength of `last_image`.")
    overlap_strength: Strength = Field(1.0, description="Strength of the overlap that an extend continues.")


class Defaults(Settings):
    """Values for every chunk that does not say otherwise, and the size of every video."""

    width: Size = Field(768, description="Width in pixels before upscaling, a multiple of 32.")
    height: Size = Field(512, description="Height in pixels before upscaling, a multiple of 32.")
    frame_rate: float = Field(25.0, ge=1.0, le=240.0, description="Frames per second.")
    num_frames: NumFrames = Field(97, description="Frames of a generate, 8k + 1.")
    num_new_frames: MoreFrames = Field(80, description="Frames that an extend adds, a multiple of 8.")
    overlap_frames: MoreFrames = Field(
        16, description="Frames that an extend looks back at, a multiple of 8."
    )
    seed: Seed = Field(0, description="Job seed, from which the seed of every stage derives.")


class GuideImage(Model):
    """An image that a chunk shows at a frame of its own, or a short clip that it shows from there on."""

    image: InputPath | None = Field(None, description="Image file; transparent parts are shown over black.")
    video: InputPath | None = Field(
        None,
        description="Video file instead, held where two chunks meet: its first frames end the chunk, 16 of "
        "them or more, the others begin the next. Its very first is only looked at.",
    )
    frame: int = Field(
        ge=-MAX_FRAMES,
        lt=MAX_FRAMES,
        description="The chunk's frame that shows it, or the first of the video: 0 is its first, of an "
        "extend the first new one; negative ones count from the end, -1 is its last.",
    )
    hold: bool = Field(
        False,
        description="Shown as it is: no noise reaches it, whatever `image_strength`, and `crf` does not "
        "compress it. Held at the last frame of a chunk that an extend follows, it is where the two meet: "
        "they share nothing else, and do not wait for each other.",
    )
    strength: Strength = Field(1.0, description="Strength of the image.")
    fit: Conformed = "crop"

    @model_validator(mode="after")
    def _one_file(self) -> GuideImage:
        require_one_file(self.image, self.video, self.hold)
        return self

    @property
    def path(self) -> str:
        """The file, whichever kind it is."""
        return self.image or self.video or ""


GuideImages = Annotated[Many[GuideImage], Field(max_length=64)]
AT_FRAMES = "More guide images, each `{image, frame, hold, strength}`, and clips that are held."


Takes = Annotated[int, Field(ge=1, le=MAX_TAKES)]
TAKES = (
    "How many times the shot is made, each with seeds of its own. The first take is in the film until "
    "another is picked."
)


class Generate(Settings):
    """A new shot: frames from nothing but the prompt and guide images."""

    num_frames: NumFrames = Field(97, description="Frames, 8k + 1.")
    seed: Seed | None = Field(None, description="Seed of this chunk, taken literally. Left out: derived.")
    first_image: InputPath | None = Field(
        None, description="Image of the first frame; transparent parts are shown over black."
    )
    middle_image: InputPath | None = Field(None, description="Image of the middle frame, likewise.")
    last_image: InputPath | None = Field(None, description="Image of the last frame, likewise.")
    images: GuideImages = Field((), description=AT_FRAMES)
    shot: Name | None = Field(
        None,
        description="Name of the shot. Its seeds depend on it, so they stay while you edit the prompt. "
        "Left out: the prompt itself names the shot.",
    )
    takes: Takes = Field(1, description=f"{TAKES} More than one need a `shot` name.")
    loras: ShotLoras = Field((), description=LORAS)


class Extend(Settings):
    """More frames for the shot before it."""

    num_new_frames: MoreFrames = Field(80, description="Frames added, a multiple of 8.")
    overlap_frames: MoreFrames = Field(
        16, description="Frames looked back at, a multiple of 8; all but the first 8 are blended."
    )
    seed: Seed | None = Field(
        None, description="Seed of this chunk, taken literally; repetitions after the first derive from it."
    )
    last_image: InputPath | None = Field(None, description="Image of the last frame, likewise.")
    images: GuideImages = Field((), description=AT_FRAMES)
    repeat: int = Field(1, ge=1, le=MAX_REPEAT, description="Extend this many times in a row.")


class Chunk(Model):
    """One step of a video: either `generate` or `extend`."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": ["generate"]}, {"required": ["extend"]}]}
    )

    generate: Generate | None = Field(None, description="A new shot; after the first chunk, a hard cut.")
    extend: Extend | None = Field(None, description="Continue the shot.")

    @model_validator(mode="after")
    def _exactly_one(self) -> Chunk:
        if self.generate is None and self.extend is None:
            raise refusal(
                "a `generate` or an `extend`, with its settings", "write `- generate: {prompt: ...}`"
            )
        if self.generate is not None and self.extend is not None:
            raise refusal("either `generate` or `extend`, not both", "write one chunk per list item")
        return self

    @property
    def settings(self) -> Generate | Extend:
        """The settings of whichever kind it is."""
        settings = self.generate or self.extend
        assert settings is not None
        return settings
