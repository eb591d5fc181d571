"""The whole job spec."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from jobs.frames import Joint
from jobs.spec.base import Many, Model, Name, Strength, refusal
from jobs.spec.chunk import AnyGuider, Defaults, Guider, Sigmas, levels_by_name
from jobs.spec.engine import EngineConfig
from jobs.spec.output import FILMS, Output
from jobs.spec.run import Decode, Run
from jobs.spec.video import Video

MatrixKey = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,63}$")]
MatrixValues = Annotated[Many[Any], Field(min_length=1, max_length=10_000)]


SECOND_PASS = (0.909375, 0.725, 0.421875, 0.0)
"""Where Lightricks' second passes start (LTX-2, LTX-Video 0.9.8 distilled), and the levels they pass."""


SPATIAL_SCALES = (2.0, 1.5)
"""How many times as wide and high published upsamplers make a film."""


def _check_spatial(value: float) -> float:
    if value in SPATIAL_SCALES:
        return value
    raise refusal("2 or 1.5, as upsamplers are published", "write 2, or leave it out")


class RecipeUse(Model):
    """A recipe, and whether its values stand in the spec already."""

    name: str = Field(max_length=80, description="Name of the recipe; `farm recipes` lists them.")
    filled: bool = Field(
        False,
        description="The values are in this spec and nothing is filled in: so in the copy that a run keeps.",
    )


def _named_recipe(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


AnyRecipe = Annotated[RecipeUse, BeforeValidator(_named_recipe, json_schema_input_type=RecipeUse | str)]


class Upscale(Model):
    """The upscale stage: latent upsampler, then re-sampling. `{}` takes all defaults."""

    spatial: Annotated[float, AfterValidator(_check_spatial)] = Field(
        2.0,
        json_schema_extra={"enum": list(SPATIAL_SCALES)},
        description="How many times as wide and high as the first pass. 1.5 needs LTX-2 on the diffusers "
        "engine with the upsampler of 1.5x, and a width and height that are multiples of 64.",
    )
    temporal: Literal[0, 2, 4] = Field(
        0,
        description="Temporal rounds: how many times as many frames a second the film has as `frame_rate` "
        "says, at which its passes run. One round makes 2, two make 4, and 0 is none. They need LTX-2.5 on "
        "the diffusers engine with an upsampler in time (`engine.temporal_upscale_model`), a `spatial` of 2, "
        "a second pass that denoises, and `joint: still`, which is then the default. Of a shot's first frame "
        "there is one: of N frames 2 (N - 1) + 1 are made, or 4 (N - 1) + 1, so a shot is a little shorter.",
    )
    steps: int = Field(
        10, ge=0, le=1000, description="Re-sampling steps in place of `sigmas`; 0 only upsamples."
    )
    cfg: float = Field(3.0, ge=0.0, le=100.0, description="Guidance scale of the re-sampling.")
    denoise: Strength = Field(
        0.5, description="Share of the noise schedule that is re-sampled, in place of `sigmas`."
    )
    joint: Joint = Field(
        "overlap",
        description="What two neighbouring chunks share. `still`: the frame where they meet, upsampled and "
        "held by both; no chunk waits for another. `overlap`: each goes on from the one before it. `none`: "
        "nothing, and seams may show.",
    )
    sampler: str = Field("euler", pattern=r"^[a-z0-9_]+$", max_length=80, description="Sampler, by name.")
    sigmas: Annotated[Sigmas, levels_by_name({"distilled": SECOND_PASS})] | None = Field(
        SECOND_PASS,
        description="Noise levels, falling, or `distilled`. The default is the second pass that Lightricks "
        "publishes for its distilled models; `steps` or `denoise` replace it.",
    )
    guider: AnyGuider = Field(Guider(), description="Guider: a name, or `{name, params}`.")
    max_shift: float = Field(2.05, ge=0.0, le=100.0, description="Scheduler shift at 4096 tokens.")
    base_shift: float = Field(0.95, ge=0.0, le=100.0, description="Scheduler shift at 1024 tokens.")
    adain: Strength = Field(
        0.0,
        description="Share by which mean and spread of each upsampled latent channel are brought back to "
        "those before the upsampler (AdaIN).",
    )
    tone_map: Strength = Field(
        0.0,
        description="Compression of large latent values after the re-sampling, before the decode; 0 is off.",
    )

    @property
    def times(self) -> int:
        """Frames of the film for each of the second pass."""
        return max(1, self.temporal)

    @model_validator(mode="before")
    @classmethod
    def _rounds_need_stills(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("temporal") and "joint" not in data:
            return {**data, "joint": "still"}
        return data

    @model_validator(mode="before")
    @classmethod
    def _steps_replace_sigmas(cls, data: Any) -> Any:
        if isinstance(data, dict) and "sigmas" not in data and {"steps", "denoise"} & data.keys():
            return {**data, "sigmas": None}
        return data


class JobSpec(Model):
    """A job: one or more videos, the engine that renders them, and where they go."""

    version: Literal[1, 2, 3] = Field(
        3,
        description="Version of this format. Earlier ones are read, too; `farm migrate` rewrites them.",
    )
    name: Name = Field(description="Name of the job, and of its folder among the runs.")
    recipe: AnyRecipe | None = Field(
        None,
        description="Published settings of a model, by name, for what the spec leaves out; those of the "
        "second pass where there is `upscale`.",
    )
    engine: EngineConfig = Field(EngineConfig(), description="Which program renders, with which models.")
    defaults: Defaults = Field(Defaults(), description="Values for every chunk that does not say otherwise.")
    upscale: Upscale | None = Field(None, description="Upscale stage. Left out: none.")
    decode: Decode = Field(Decode(), description="How latents become frames.")
    videos: Many[Video] = Field(min_length=1, max_length=10_000, description="The output files.")
    matrix: dict[MatrixKey, MatrixValues] = Field(
        default_factory=dict,
        max_length=16,
        description="One video per combination: any field of `defaults`, or a `{placeholder}` in prompts.",
    )
    output: Output = Field(Output(), description="Where films go, and as what.")
    run: Run = Field(Run(), description="How the job is executed.")

    @model_validator(mode="after")
    def _approval_has_a_second_pass(self) -> JobSpec:
        if self.run.approve is not None and self.upscale is None:
            raise refusal(
                "`run.approve` beside a second pass", "add `upscale: {}`, or leave `run.approve` out"
            )
        return self

    @model_validator(mode="before")
    @classmethod
    def _say_where_films_go(cls, data: Any) -> Any:
        """A folder that is left out lies beside the spec, too: only what is written is seen from there."""
        output = data.get("output", {}) if isinstance(data, dict) else None
        if not isinstance(output, dict) or "dir" in output:
            return data
        return {**data, "output": {**output, "dir": FILMS}}
