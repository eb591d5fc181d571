"""The plan as rows: what `farm plan` prints and its JSON holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jobs.planning.held import longest_chain, longest_without_held
from jobs.planning.rounds.layout import rounds_of
from jobs.planning.rounds.params import round_sampling
from jobs.planning.windows import decode_windows
from jobs.spec.framing import framing

if TYPE_CHECKING:
    from jobs.planning.planned import Plan, PlannedChunk, PlannedDelivery, PlannedVideo
    from jobs.planning.sampling import Sampling


@dataclass(frozen=True, slots=True)
class ChunkRow:
    """One chunk: `start_frame` and `stop_frame` are the film's frames that it owns, half-open.

    `shot_name` is that of shot number `shot`, from 0. `joint` is what it shares with the chunk before it.
    `sampled_latents` is what the sampler makes,
    `decoded_latents` what the VAE sees with context, in all
    windows.
    """

    video: str
    chunk: int
    shot: int
    shot_name: str
    kind: str
    joint: str
    start_frame: int
    stop_frame: int
    fade_frames: int
    sampled_latents: int
    decoded_latents: int
    steps: int
    seed: int
    prompt: str


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """One form in which a film is delivered: its size (pixels), and what is done to frames for it, empty
    where they stay as they are; `sound` is empty where it has none."""

    output: str
    container: str
    codec: str
    profile: str
    pixel_format: str
    sound: str
    width: int
    height: int
    framed: str


@dataclass(frozen=True, slots=True)
class TakeRow:
    """Take `number` of a shot of the film `video`; the one that is `picked` is in it. `seed` is that of its
    first chunk."""

    video: str
    shot: str
    number: int
    seed: int
    picked: bool

    @property
    def said(self) -> str:
        """`take 2 of pier, seed 7, picked`."""
        return f"take {self.number} of {self.shot}, seed {self.seed}{', picked' if self.picked else ''}"


@dataclass(frozen=True, slots=True)
class VideoRow:
    """One film: size as rendered (pixels), running time, and how it divides. `chain_chunks` have to be
    sampled one after the other, without held images `chain_chunks_unheld`. `output` is the first of its
    deliveries. `frame_rate` is `temporal` times that of the passes."""

    video: str
    output: str
    width: int
    height: int
    frames: int
    frame_rate: float
    seconds: float
    shots: int
    chunks: int
    sound: str
    chain_chunks: int
    chain_chunks_unheld: int
    deliveries: tuple[DeliveryRow, ...]
    take: TakeRow | None = None
    temporal: int = 1

    @property
    def said_rate(self) -> str:
        """`96 fps (passes at 24)`, where temporal rounds make more frames."""
        passes = f" (passes at {self.frame_rate / self.temporal:g})" if self.temporal > 1 else ""
        return f"{self.frame_rate:g} fps{passes}"


@dataclass(frozen=True, slots=True)
class PassRow:
    """One way in which chunks are denoised, in numbers; `chunks` counts them. `name` is that of the stage, or
    of a temporal round, `sigmas` is None where they follow from `steps` and the size of the clip."""

    name: str
    chunks: int
    sampler: str
    cfg: float
    steps: int
    sigmas: tuple[float, ...] | None
    guider: str
    guider_params: dict[str, Any]


@dataclass(frozen=True, slots=True)
class PlanSummary:
    """Rows of a whole plan, in plan order."""

    job: str
    recipe: str | None
    videos: tuple[VideoRow, ...]
    chunks: tuple[ChunkRow, ...]
    passes: tuple[PassRow, ...]


def plan_summary(plan: Plan) -> PlanSummary:
    """Every film, every chunk and every way of denoising of the plan."""
    chunks = tuple(_chunk_row(chunk, video, plan) for video in plan.videos for chunk in video.chunks)
    videos = tuple(_video_row(video, plan) for video in plan.videos)
    return PlanSummary(plan.job, plan.recipe, videos, chunks, tuple(_passes(plan)))


def _passes(plan: Plan) -> Iterator[PassRow]:
    once = (video for video in plan.videos if video.take is None or not video.take.picked)
    made = [chunk for video in once for chunk in video.chunks if chunk.is_sampled]
    for sampling, count in Counter(chunk.sampling for chunk in made).items():
        yield _pass_row("sample", sampling, count)
    if plan.upscale is None:
        return
    yield _pass_row("upscale", plan.upscale.sampling, len(made))
    for number in rounds_of(plan.upscale.temporal):
        yield _pass_row(f"round {number}", round_sampling(plan.upscale.sampling), len(made))


def _pass_row(name: str, sampling: Sampling, count: int) -> PassRow:
    guider = sampling.guider
    return PassRow(
        name=name,
        chunks=count,
        sampler=sampling.sampler,
        cfg=sampling.cfg,
        steps=sampling.steps_run,
        sigmas=sampling.sigmas,
        guider=guider.name,
        guider_params=dict(guider.params),
    )


def _delivery_row(delivery: PlannedDelivery, video: PlannedVideo) -> DeliveryRow:
    form = delivery.format
    framed = framing(form, video.width, video.height)
    made = framed or video
    return DeliveryRow(
        output=delivery.name,
        container=form.container,
        codec=form.codec or "",
        profile=form.profile or "",
        pixel_format=form.pixel_format or "",
        sound=form.sound or "" if video.sound else "",
        width=made.width,
        height=made.height,
        framed=framed.text(video.width, video.height) if framed else "",
    )


def _video_row(video: PlannedVideo, plan: Plan) -> VideoRow:
    return VideoRow(
        video=video.name,
        output=video.output,
        width=video.width,
        height=video.height,
        frames=video.frames,
        frame_rate=video.frame_rate,
        seconds=round(video.seconds, 3),
        shots=len({chunk.shot for chunk in video.chunks}),
        chunks=len(video.chunks),
        sound=video.sound.said if video.sound else "none",
        chain_chunks=longest_chain(video),
        chain_chunks_unheld=longest_without_held(video),
        deliveries=tuple(_delivery_row(delivery, video) for delivery in plan.deliveries(video)),
        take=take_row(video),
        temporal=video.temporal,
    )


def take_row(video: PlannedVideo) -> TakeRow | None:
    """Which take a film is; None for a video of the spec."""
    take = video.take
    if take is None:
        return None
    seed = next(chunk.seed for chunk in video.chunks if chunk.is_sampled)
    return TakeRow(take.video, take.name, take.number, seed, take.picked)


def _chunk_row(chunk: PlannedChunk, video: PlannedVideo, plan: Plan) -> ChunkRow:
    decoded = decode_windows(chunk, video.temporal, plan.decode.context)
    return ChunkRow(
        video=chunk.video,
        chunk=chunk.index,
        shot=chunk.shot,
        shot_name=video.shot_name(chunk.shot),
        kind=chunk.kind,
        joint=chunk.joint if chunk.kind == "extend" else "none",
        start_frame=chunk.owned.start,
        stop_frame=chunk.owned.stop,
        fade_frames=chunk.fade_frames,
        sampled_latents=chunk.span.sampled if chunk.is_sampled else 0,
        decoded_latents=sum(len(window.context) for window in decoded),
        steps=chunk.sampling.steps_run if chunk.is_sampled else 0,
        seed=chunk.seed,
        prompt=chunk.prompt,
    )
