"""The plan: every chunk of every video with its frames, seeds and windows. Pure, no I/O."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Literal

from jobs.errors import InputError, Problem
from jobs.frames import (
    ChunkSpan,
    Span,
    frames_of,
    latents_of,
    lay_chain,
)
from jobs.planning.choices import numbers_of_takes, take_films
from jobs.planning.expand import (
    Step,
    Variant,
    film_names,
    guider_of,
    layouts,
    sampling_of,
    setting,
    steps,
    variants,
)
from jobs.planning.facts import SourceFacts
from jobs.planning.guides import GuidePlanner, heard_sound, opening_sound
from jobs.planning.output_names import shown_format
from jobs.planning.planned import (
    HeardSound,
    Plan,
    PlannedChunk,
    PlannedSource,
    PlannedVideo,
    UpscalePlan,
)
from jobs.planning.retakes.chunks import retake_chunks
from jobs.planning.sampling import Sampling
from jobs.planning.seeds import derive_seed
from jobs.planning.shots import snapped
from jobs.planning.windows import Shown, shown, shown_chain
from jobs.records import Form
from jobs.sound.tracks import plan_sound, sampled_tracks, shot_names

if TYPE_CHECKING:
    from jobs.spec.job import JobSpec, Upscale

SEEDED_STAGES = ("sample", "upscale", "decode")


@dataclass(frozen=True, slots=True)
class PlanFile:
    """What `plan.json` holds."""

    plan: Plan


PLAN_FORM = Form("plan.json", PlanFile, format=2)


def make_plan(spec: JobSpec, facts: SourceFacts | None = None) -> Plan:
    """The plan of a checked spec; `facts` holds what was probed of its source files."""
    facts = facts or SourceFacts()
    return Plan(
        job=spec.name,
        videos=tuple(film for variant in variants(spec) for film in _plan_films(variant, spec, facts)),
        engine=spec.engine,
        upscale=_plan_upscale(spec.upscale) if spec.upscale else None,
        decode=spec.decode,
        output=spec.output,
        run=spec.run,
        recipe=spec.recipe.name if spec.recipe else None,
    )


def source_plan(variant: Variant, facts: SourceFacts) -> PlannedSource | None:
    """Which frames of the source open the film, 8k+1 at its rate: the last ones, as an extend goes on from
    there, and the first ones where parts of it are made anew, whose frames then have the numbers that they
    have in the file."""
    source = variant.video.source
    if source is None:
        return None
    have = facts.frames(source.path, variant.frame_rate)
    if have is None:
        place, rule = f"{variant.place}.source", "the source is measured before planning"
        raise InputError([Problem(place, source.path, rule, "load the spec with a video probe")])
    take = frames_of(latents_of(min(have, source.last_frames or have)))
    from_start = variant.video.retakes and source.last_frames is None
    known = facts.videos.get(source.path)
    return PlannedSource(
        "latent" if source.latent else "video",
        source.path,
        take,
        0 if from_start else have - take,
        sound_start_s=(known.sound_start_s if known else None) or 0.0,
        fit=source.fit,
    )


def _plan_films(variant: Variant, spec: JobSpec, facts: SourceFacts) -> Iterator[PlannedVideo]:
    """The video, and a film of each take of its shots."""
    video = _plan_video(variant, spec, facts)
    container = shown_format(spec.output.formats).container
    yield video
    yield from take_films(video, numbers_of_takes(variant.video), container)


def _plan_video(variant: Variant, spec: JobSpec, facts: SourceFacts) -> PlannedVideo:
    source = source_plan(variant, facts)
    planner = _Planner(variant, spec, source, GuidePlanner(variant, facts))
    if source is not None and variant.video.retakes:
        planner.add_retaken(source)
    else:
        latents = latents_of(source.frames) if source else None
        for _, shot in groupby(steps(variant, latents), key=lambda step: step.shot):
            planner.add_shot(list(shot))
    width, height = variant.size
    scale = spec.upscale.spatial if spec.upscale else 1
    output, *more = film_names(variant, spec.output)
    return PlannedVideo(
        name=variant.name,
        chunks=tuple(planner.chunks),
        frames=planner.frames,
        width=int(width * scale),
        height=int(height * scale),
        base_width=width,
        base_height=height,
        frame_rate=planner.rate,
        output=output,
        combination=variant.combination,
        snaps=tuple(filter(None, (snapped(layout, planner.temporal) for layout in layouts(variant)))),
        more_outputs=tuple(more),
        shots=shot_names(variant.video),
        sound=plan_sound(variant.video, planner.shots, opening_sound(source)),
        temporal=planner.temporal,
    )


class _Planner:
    """Lays the shots of one video end to end."""

    def __init__(
        self, variant: Variant, spec: JobSpec, source: PlannedSource | None, guides: GuidePlanner
    ) -> None:
        self.variant, self.spec, self.source, self.guides = variant, spec, source, guides
        self.chunks: list[PlannedChunk] = []
        self.shots: list[Span] = []
        self.frames = 0
        self.temporal = spec.upscale.times if spec.upscale else 1
        self.rate = variant.frame_rate * self.temporal
        self._sounds = sampled_tracks(variant.video)
        self._samplings: dict[str, Sampling] = {}

    def add_shot(self, shot: Sequence[Step]) -> None:
        chain = lay_chain([(step.overlap, step.new) for step in shot])
        followed = [*(step.meets is not None for step in shot[1:]), False]
        joint = self.spec.upscale.joint if self.spec.upscale else None
        laid = shown_chain(chain, joint, self.temporal)
        for k, meets in enumerate(followed):
            seen = shown(laid, k, joint, self.spec.decode, meets)
            self.chunks.append(self._chunk(shot, chain, k, seen))
        self.shots.append(Span(self.frames, self.frames + frames_of(laid[-1].stop)))
        self.frames = self.shots[-1].stop

    def add_retaken(self, source: PlannedSource) -> None:
        self.chunks += retake_chunks(self.variant, source, self.spec.decode)
        self.shots.append(Span(0, source.frames))
        self.frames = source.frames

    def _chunk(self, shot: Sequence[Step], chain: Sequence[ChunkSpan], k: int, seen: Shown) -> PlannedChunk:
        step, joint = shot[k], self.spec.upscale.joint if self.spec.upscale else None
        pick = partial(setting, step.settings, self.variant.defaults)
        seed, upscale_seed, decode_seed = self._seeds(step)
        if joint not in (None, "overlap"):
            upscale_seed = self._shot_seed(shot[0])
        return PlannedChunk(
            video=self.variant.name,
            index=len(self.chunks),
            shot=step.shot,
            index_in_shot=k,
            kind=step.kind,
            place=step.place,
            span=chain[k],
            window=seen.window,
            owned=seen.owned.shifted(self.frames),
            fade_frames=seen.fade_frames,
            prompt=self.variant.fill(pick("prompt") or ""),
            negative=self.variant.fill(pick("negative")),
            seed=seed,
            upscale_seed=upscale_seed,
            decode_seed=decode_seed,
            sampling=self._sampling(step),
            guides=self.guides.guides(step, chain[k]),
            overlap_strength=pick("overlap_strength"),
            attention_mode=pick("attention_mode"),
            ffn_chunks=pick("ffn_chunks"),
            source=self.source if step.kind == "source" else None,
            sound=self._sound(step),
            heard=self._heard(step, chain[k]),
            joint="still" if step.meets else "overlap",
            references=self.guides.references(step, chain[k]),
            loras=getattr(shot[0].settings, "loras", ()),
        )

    def _seeds(self, step: Step) -> tuple[int, int, int]:
        """Seeds of sample, upscale and decode. An explicit one is the sample's own, and roots the rest."""
        explicit = step.settings.seed
        root = self.variant.defaults.seed if explicit is None else explicit
        names = (self.variant.video.name, step.shot_key, step.index_in_shot)
        sample, upscale, decode = (derive_seed(root, *names, stage) for stage in SEEDED_STAGES)
        literal = explicit is not None and step.repetition == 0
        return (root if literal else sample), upscale, decode

    def _shot_seed(self, first: Step) -> int:
        """Seed of the noise that the clips of a shot's second pass have in common."""
        explicit = first.settings.seed
        root = self.variant.defaults.seed if explicit is None else explicit
        return derive_seed(root, self.variant.video.name, first.shot_key, "upscale")

    def _sampling(self, step: Step) -> Sampling:
        """One object per chunk of the spec, however often it repeats."""
        if step.place not in self._samplings:
            self._samplings[step.place] = sampling_of(step.settings, self.variant.defaults)
        return self._samplings[step.place]

    def _sound(self, step: Step) -> Literal["condition", "generate"] | None:
        track = self._sounds.get(step.shot)
        if track is None:
            return None
        return "generate" if track.generate else "condition"

    def _heard(self, step: Step, span: ChunkSpan) -> HeardSound | None:
        track = self._sounds.get(step.shot) if step.kind != "source" else None
        seen = span.sampled_frames
        frames = Span(self.temporal * seen.start, self.temporal * seen.stop).shifted(self.frames)
        return heard_sound(track, frames, self.frames, self.rate, self.variant, self.source)


def _plan_upscale(upscale: Upscale) -> UpscalePlan:
    sampling = Sampling(
        steps=upscale.steps,
        cfg=upscale.cfg,
        sampler=upscale.sampler,
        sigmas=upscale.sigmas,
        guider=guider_of(upscale.guider),
        max_shift=upscale.max_shift,
        base_shift=upscale.base_shift,
        denoise=upscale.denoise,
    )
    return UpscalePlan(
        sampling, upscale.joint, upscale.spatial, upscale.adain, upscale.tone_map, upscale.times
    )
