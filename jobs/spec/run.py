"""How a job is executed. Nothing in `run` but the thread counts can reach a film's bytes."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from jobs.spec.base import Model, Strength, refusal

Verdict = Literal["error", "warn", "off"]
Deadline = Annotated[float, Field(gt=0.0, le=604_800.0)]


class Tiling(Model):
    """Temporal tiles of one decode window: less memory, slightly other pixels."""

    tile_latents: int = Field(16, ge=2, le=1024, description="Latents per tile.")
    overlap_latents: int = Field(4, ge=1, le=512, description="Latents shared by neighbouring tiles.")

    @model_validator(mode="after")
    def _tiles_advance(self) -> Tiling:
        if self.overlap_latents >= self.tile_latents:
            raise refusal("an overlap shorter than the tile", "lower `overlap_latents`")
        return self


class Decode(Model):
    """How latents become frames."""

    context: int = Field(4, ge=1, le=64, description="Neighbouring latents decoded along and thrown away.")
    seam: Literal["crossfade", "lag"] = Field(
        "crossfade",
        description="`crossfade` blends the frames that two chunks share; `lag` decodes a chunk only after "
        "the next is sampled, with context on both sides.",
    )
    tiling: Tiling | None = Field(None, description="Decode in temporal tiles. Left out: the whole window.")
    timestep: Strength | None = Field(
        None,
        description="Timestep of VAEs that take one (0.9.1 and later). Left out: the model's own, or 0.05.",
    )
    noise_scale: Strength | None = Field(
        None, description="Share of noise that those VAEs decode with. Left out: the model's own, or 0.025."
    )


class Deadlines(Model):
    """Seconds after which a stage counts as hung. Left out: adapted to measured durations."""

    encode: Deadline | None = Field(None, description="Deadline of encode tasks, seconds.")
    sample: Deadline | None = Field(None, description="Deadline of sample tasks, seconds.")
    upscale: Deadline | None = Field(None, description="Deadline of upscale tasks, seconds.")
    decode: Deadline | None = Field(None, description="Deadline of decode tasks, seconds.")
    segment: Deadline | None = Field(None, description="Deadline of segment tasks, seconds.")
    first_s: Deadline = Field(3600.0, description="Deadline while a stage has no measured duration.")
    factor: float = Field(
        8.0, ge=1.5, le=1000.0, description="Deadline as a multiple of what such tasks took lately."
    )
    floor_s: Deadline = Field(60.0, description="No adapted deadline is shorter.")


class Verify(Model):
    """Checks on every result beyond shape, frame count and finite numbers."""

    black: Verdict = Field("error", description="All frames of a chunk are black.")
    frozen: Verdict = Field("error", description="All frames of a chunk are the same.")


class Run(Model):
    """How the job is executed."""

    topology: str = Field(
        "auto",
        max_length=200,
        description="`auto`, `mono`, or workers per stage set such as `sample=2,upscale+decode=1`; "
        "`sample=1x4` is a gang of four GPUs.",
    )
    max_attempts: int = Field(
        3, ge=1, le=100, description="Attempts per task before its chunk is quarantined."
    )
    max_losses: int = Field(5, ge=1, le=1000, description="Lost workers per task before it is quarantined.")
    threads: int = Field(2, ge=1, le=256, description="CPU threads per worker. They reach the bytes.")
    encode_threads: int = Field(
        1, ge=1, le=64, description="Threads per video encoder. They reach the bytes."
    )
    keep: Literal["latents", "all"] = Field(
        "latents",
        description="`latents` keeps latents and segments, `all` keeps decoded frames and the canvases of "
        "temporal rounds too.",
    )
    payload_budget_gib: float | None = Field(
        None,
        gt=0.0,
        le=1_000_000.0,
        description="Bytes of results that may wait for delivery, GiB. Left out: four chunks a worker.",
    )
    mixed_compute: bool = Field(
        False,
        description="Let other GPU models help, and gangs that do not give the bits of one GPU; the films "
        "are then marked `exact: false`.",
    )
    approve: Literal["sample"] | None = Field(
        None,
        description="`sample`: deliver drafts of the first pass; the second waits for an approval.",
    )
    notify: str | None = Field(
        None,
        pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$",
        description="Label to notify of the job's end; the machine that renders has the addresses.",
    )
    deadlines: Deadlines = Field(Deadlines(), description="When a stage counts as hung.")
    verify: Verify = Field(Verify(), description="Checks on results that a spec can relax.")
