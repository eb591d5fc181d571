"""Clips that are held where two chunks meet, and those that chunks look at: long enough, and whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from jobs.frames import TEMPORAL, frames_of, latents_of
from jobs.planning.expand import own_frames, placed_chunks, setting
from jobs.planning.facts import ClipPart
from jobs.planning.held import held_joint
from jobs.rules.files import input_paths
from jobs.rules.findings import BrokenRule

if TYPE_CHECKING:
    from jobs.places import Location
    from jobs.planning.expand import Variant
    from jobs.planning.facts import SourceFacts
    from jobs.planning.held import HeldJoint
    from jobs.spec.job import JobSpec


def clip_paths(spec: JobSpec) -> Iterator[tuple[Location, str]]:
    """Every clip of the spec, with its place."""
    for place, path in input_paths(spec):
        if place[-1] == "video" and ("images" in place or "references" in place):
            yield place, path


def held_clips(variant: Variant) -> Iterator[tuple[Location, HeldJoint, int]]:
    """Every clip of a film that is held, with its place and the latents that the next chunk adds."""
    chunks = placed_chunks(variant)
    for number, placed in enumerate(chunks):
        chunk = placed.chunk
        joint = held_joint(chunk.settings.images, own_frames(chunk, variant.defaults))
        if joint is None or joint.guide.video is None:
            continue
        repeats = chunk.extend is not None and chunk.extend.repeat > 1
        follower = chunk if repeats or number + 1 == len(chunks) else chunks[number + 1].chunk
        place = placed.images[chunk.settings.images.index(joint.guide)]
        yield (*place, "video"), joint, own_frames(follower, variant.defaults) // TEMPORAL


def looked_at(variant: Variant) -> Iterator[tuple[Location, str, int]]:
    """Every clip that chunks of a film look at, with its place and the frames of the longest of them."""
    longest: dict[Location, tuple[str, int]] = {}
    for placed in placed_chunks(variant):
        settings = placed.chunk.settings
        own = "references" in settings.model_fields_set
        where = (*placed.here, "references") if own else ("defaults", "references")
        frames = own_frames(placed.chunk, variant.defaults)
        if placed.chunk.extend is not None:
            frames += setting(settings, variant.defaults, "overlap_frames")
        for index, each in enumerate(setting(settings, variant.defaults, "references")):
            if each.video is not None:
                before = longest.get((*where, index, "video"), ("", 0))[1]
                longest[(*where, index, "video")] = each.video, max(frames, before)
    yield from ((place, path, frames) for place, (path, frames) in longest.items())


def check_lengths(variant: Variant, facts: SourceFacts) -> Iterator[BrokenRule]:
    """A held clip reaches into the chunk behind it; of one that is looked at, there are two latents."""
    for place, path, _ in looked_at(variant):
        frames = facts.frames(path, variant.frame_rate)
        if frames is not None and frames <= TEMPORAL:
            rule = f"at least {TEMPORAL + 1} frames at {variant.frame_rate:g} frames per second"
            yield BrokenRule(place, f"{frames} frames", rule, "give a longer clip, or an `image`")
    for place, joint, _ in held_clips(variant):
        frames = facts.frames(joint.guide.path, variant.frame_rate)
        if frames is not None and frames < joint.least_frames:
            rate = f"{variant.frame_rate:g} frames per second"
            rule = f"at least {joint.least_frames} frames at {rate}, where it begins there"
            remedy = "give a longer clip, or begin it nearer to the end of the chunk"
            yield BrokenRule(place, f"{frames} frames", rule, remedy, ((*place[:-1], "frame"),))


def clip_parts(variant: Variant, facts: SourceFacts) -> Iterator[tuple[Location, str, ClipPart]]:
    """What films use of each clip that was measured."""
    for place, joint, new in held_clips(variant):
        have = facts.frames(joint.guide.path, variant.frame_rate)
        if have is not None:
            used = TEMPORAL * (joint.latents + joint.latents_after(have, new)) + 1
            yield place, joint.guide.path, ClipPart(0, used, variant.frame_rate)
    for place, path, most in looked_at(variant):
        have = facts.frames(path, variant.frame_rate)
        if have is not None:
            yield place, path, ClipPart(0, frames_of(latents_of(min(have, most))), variant.frame_rate)
