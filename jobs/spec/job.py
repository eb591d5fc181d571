"""The whole job spec."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from jobs.spec.base import Many, Model, Name, Strength
from jobs.spec.chunk import AnyGuider, Defaults, Guider, Sigmas
from jobs.spec.engine import EngineConfig
from jobs.spec.run import FILMS, Decode, Output, Run
from jobs.spec.video import Video

MatrixKey = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,63}$")]
MatrixValues = Annotated[Many[Any], Field(min_length=1, max_length=10_000)]


class Upscale(Model):
    """The 2x upscale stage: latent upsampler, then re-sampling. `{}` takes all defaults."""

    steps: int = Field(10, ge=0, le=1000, description="Re-sampling steps; 0 only upsamples.")
    cfg: float = Field(3.0, ge=0.0, le=100.0, description="Guidance scale of the re-sampling.")
    denoise: Strength = Field(0.5, description="Share of the noise schedule that is re-sampled.")
    guided: bool = Field(
        True, description="Guide each chunk by the tail before it; false is faster and may show the seams."
    )
    sampler: str = Field(
        "euler_ancestral", pattern=r"^[a-z0-9_]+$", max_length=80, description="Sampler, by name."
    )
    sigmas: Sigmas | None = Field(None, description="Noise levels, falling; they replace steps and denoise.")
    guider: AnyGuider = Field(Guider(), description="Guider: a name, or `{name, params}`.")
    max_shift: float = Field(2.05, ge=0.0, le=100.0, description="Scheduler shift at 4096 tokens.")
    base_shift: float = Field(0.95, ge=0.0, le=100.0, description="Scheduler shift at 1024 tokens.")


class JobSpec(Model):
    """A job: one or more videos, the engine that renders them, and where they go."""

    version: Literal[1] = Field(1, description="Version of this format.")
    name: Name = Field(description="Name of the job, and of its folder among the runs.")
    engine: EngineConfig = Field(EngineConfig(), description="Which program renders, with which models.")
    defaults: Defaults = Field(Defaults(), description="Values for every chunk that does not say otherwise.")
    upscale: Upscale | None = Field(None, description="2x upscale stage. Left out: none.")
    decode: Decode = Field(Decode(), description="How latents become frames.")
    videos: Many[Video] = Field(min_length=1, max_length=10_000, description="The output files.")
    matrix: dict[MatrixKey, MatrixValues] = Field(
        default_factory=dict,
        max_length=16,
        description="One video per combination: any field of `defaults`, or a `{placeholder}` in prompts.",
    )
    output: Output = Field(Output(), description="Where films go, and in what form.")
    run: Run = Field(Run(), description="How the job is executed.")

    @model_validator(mode="before")
    @classmethod
    def _say_where_films_go(cls, data: Any) -> Any:
        """A folder that is left out lies beside the spec, too: only what is written is seen from there."""
        output = data.get("output", {}) if isinstance(data, dict) else None
        if not isinstance(output, dict) or "dir" in output:
            return data
        return {**data, "output": {**output, "dir": FILMS}}
