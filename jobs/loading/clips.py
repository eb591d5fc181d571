"""Clips that are held where two chunks meet: as long as both of them need, and whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from jobs.frames import TEMPORAL
from jobs.planning.expand import own_frames, placed_chunks
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
        if place[-1] == "video" and "images" in place:
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


def check_lengths(variant: Variant, facts: SourceFacts) -> Iterator[BrokenRule]:
    """A clip reaches into the chunk behind it."""
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
