"""Guides of a chunk: images at frames of its sampled clip, and what it holds where it meets others; and the
references that it looks at, and the sound that it hears."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from jobs.errors import InputError, Problem
from jobs.frames import TEMPORAL, ChunkSpan, Span, audio_sample, frames_of, latents_of, middle_frame
from jobs.planning.expand import Step, Variant, setting
from jobs.planning.facts import SourceFacts
from jobs.planning.held import HeldJoint, at_the_end
from jobs.planning.params import EncodeClip, EncodeImage
from jobs.planning.planned import ClipCut, HeardSound, PlannedGuide, PlannedReference
from jobs.sound.tracks import OpeningSound, plan_track

if TYPE_CHECKING:
    from jobs.planning.planned import PlannedSource
    from jobs.spec.chunk import GuideImage, Reference
    from jobs.spec.sound import SoundTrack

UNCOMPRESSED = 0
"""`crf` of what is held, which is shown and not only followed, and of references."""


@dataclass(frozen=True, slots=True)
class GuidePlanner:
    """Plans the guides of one video's chunks."""

    variant: Variant
    facts: SourceFacts

    def guides(self, step: Step, span: ChunkSpan) -> tuple[PlannedGuide, ...]:
        """What the chunk begins with, its first, middle and last image and those at frames of their own, by
        their frames; an extend's frames count from its overlap."""
        own = [self._own(step, span, guide) for guide in step.settings.images]
        found = [*self._begun_with(step), *self._named(step, span), *own]
        return tuple(sorted(found, key=lambda guide: guide.frame))

    def _named(self, step: Step, span: ChunkSpan) -> Iterator[PlannedGuide]:
        pick = partial(setting, step.settings, self.variant.defaults)
        frames = frames_of(span.sampled)
        places = {"first": 0, "middle": middle_frame(frames), "last": frames - 1}
        for name, frame in places.items():
            path = getattr(step.settings, f"{name}_image", None)
            if path is not None:
                strength = pick(f"{name}_strength")
                yield PlannedGuide(path, frame, strength, pick("image_strength"), pick("crf"))

    def _own(self, step: Step, span: ChunkSpan, guide: GuideImage) -> PlannedGuide:
        frame = _frame_in(span, guide.frame)
        if guide.video is not None:
            ends = at_the_end(guide, _own_frames(span))
            assert ends is not None, "the rules let no other clip through"
            cut = ClipCut(TEMPORAL * ends.latents + 1, 0, ends.latents)
            return PlannedGuide(guide.video, frame + 1, guide.strength, 1.0, UNCOMPRESSED, cut, guide.fit)
        if guide.hold:
            return PlannedGuide(guide.path, frame, guide.strength, 1.0, UNCOMPRESSED, fit=guide.fit)
        pick = partial(setting, step.settings, self.variant.defaults)
        strengths = guide.strength, pick("image_strength")
        return PlannedGuide(guide.path, frame, *strengths, pick("crf"), fit=guide.fit)

    def _begun_with(self, step: Step) -> Iterator[PlannedGuide]:
        """What the chunk before it ends with."""
        if step.meets is not None:
            held = step.meets.guide
            cut = self._rest_of(step.meets, step) if held.video is not None else None
            yield PlannedGuide(held.path, 0, held.strength, 1.0, UNCOMPRESSED, cut, held.fit)

    def references(self, step: Step, span: ChunkSpan) -> tuple[PlannedReference, ...]:
        """What the chunk's first pass looks at; a source is not sampled."""
        if step.kind == "source":
            return ()
        wanted: tuple[Reference, ...] = setting(step.settings, self.variant.defaults, "references")
        return tuple(self._reference(each, step, span) for each in wanted)

    def _reference(self, wanted: Reference, step: Step, span: ChunkSpan) -> PlannedReference:
        frames = None
        if wanted.video is not None:
            have = min(self._frames(wanted.video, "a reference", step), frames_of(span.sampled))
            frames = frames_of(latents_of(have))
        how = wanted.scale, wanted.strength, wanted.attention
        return PlannedReference(wanted.path, *how, frames, wanted.fit)

    def _frames(self, path: str, what: str, step: Step) -> int:
        have = self.facts.frames(path, self.variant.frame_rate)
        if have is None:
            rule = f"{what} is measured before planning"
            raise InputError([Problem(step.place, path, rule, "load the spec with a video probe")])
        return have

    def _rest_of(self, joint: HeldJoint, step: Step) -> ClipCut:
        have = self._frames(joint.guide.path, "a held clip", step)
        after = joint.latents_after(have, step.new)
        return ClipCut(TEMPORAL * after + 1, TEMPORAL * joint.latents, after + 1)


def opening_sound(source: PlannedSource | None) -> OpeningSound | None:
    """The sound of a source as the film opens with it."""
    return OpeningSound(source.path, source.skip_frames, source.sound_start_s) if source else None


def heard_sound(
    track: SoundTrack | None,
    frames: Span,
    shot_start: int,
    rate: float,
    variant: Variant,
    source: PlannedSource | None,
) -> HeardSound | None:
    """What a clip of these `frames` of the film, which has `rate` of them a second, hears of the track that
    its shot, which begins with frame `shot_start`, is sampled with; None where the model makes it."""
    if track is None or track.file is None:
        return None
    begins = shot_start if track.shot is not None else 0
    planned = plan_track(track, "", (begins, begins), None, opening_sound(source))
    sample_rate = variant.video.mix.sample_rate
    start, stop = (audio_sample(frame, sample_rate, rate) for frame in (frames.start, frames.stop))
    return HeardSound(
        track.file, Span(start, stop).shifted(planned.first_sample(sample_rate, rate)), sample_rate
    )


def encoding(
    guide: PlannedGuide, size: tuple[int, int], frame_rate: float
) -> tuple[str, EncodeImage | EncodeClip, int]:
    """What makes the latents of a guide for a pass of that size (width, height): its name, its parameters,
    and how many there are."""
    cut = guide.clip
    if cut is None:
        return "image", EncodeImage(guide.path, *size, guide.crf, guide.fit), 1
    params = EncodeClip(guide.path, *size, cut.frames, frame_rate, cut.skip_frames, cut.latents, guide.fit)
    return "clip", params, cut.latents


def reference_encoding(
    wanted: PlannedReference, size: tuple[int, int], frame_rate: float
) -> tuple[str, EncodeImage | EncodeClip, int]:
    """As `encoding`, of a reference beside a pass of that size."""
    width, height = (side // wanted.scale for side in size)
    if wanted.frames is None:
        return "image", EncodeImage(wanted.path, width, height, UNCOMPRESSED, wanted.fit), 1
    latents = latents_of(wanted.frames)
    clip = EncodeClip(wanted.path, width, height, wanted.frames, frame_rate, 0, latents, wanted.fit)
    return "clip", clip, latents


def _own_frames(span: ChunkSpan) -> int:
    return TEMPORAL * span.new if span.overlap else frames_of(span.new)


def _frame_in(span: ChunkSpan, frame: int) -> int:
    """Frame of the sampled clip that is the chunk's own `frame`; negative ones count from the end."""
    frames = frames_of(span.sampled)
    return frames - _own_frames(span) + frame if frame >= 0 else frames + frame
