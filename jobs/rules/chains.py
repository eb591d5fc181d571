"""Chunks of a film fit each other: overlaps, prompts, lengths."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from jobs.frames import TEMPORAL, latents_of
from jobs.places import Location, place_of
from jobs.planning.expand import Variant, own_frames, placed_chunks, setting, variants
from jobs.planning.held import HeldJoint, held_joint
from jobs.rules.findings import BrokenRule
from jobs.rules.joints import FRAME_DEFAULTS, check_joint, longest_after

if TYPE_CHECKING:
    from jobs.spec.chunk import Chunk, CommonSettings, Defaults, Extend, Generate
    from jobs.spec.job import JobSpec

MAX_FILM_FRAMES = 20_000_000


def check_chains(spec: JobSpec) -> Iterator[BrokenRule]:
    """Overlaps fit the chunk before, prompts are there, and the first chunk has something to extend."""
    for variant in variants(spec):
        yield from _check_chain(variant)
        for number, retake in enumerate(variant.video.retakes):
            place = ("videos", variant.index, "retakes", number, "prompt")
            yield from _check_prompt(variant, retake, place)


def _check_prompt(variant: Variant, settings: CommonSettings, place: Location) -> Iterator[BrokenRule]:
    if not setting(settings, variant.defaults, "prompt"):
        rule = "every chunk has a prompt, its own or that of `defaults`"
        yield BrokenRule(place, "nothing", rule, "say what the chunk shows", (("defaults", "prompt"),))


def _check_chain(variant: Variant) -> Iterator[BrokenRule]:
    video: Location = ("videos", variant.index)
    limit: int | None = None
    before: Location = (*video, "source")
    held: HeldJoint | None = None
    for index, placed in enumerate(placed_chunks(variant)):
        chunk, here = placed.chunk, placed.here
        yield from _check_prompt(variant, chunk.settings, placed.prompt)
        if chunk.generate is not None:
            limit = latents_of(setting(chunk.generate, variant.defaults, "num_frames"))
        elif chunk.extend is not None:
            if index == 0 and variant.video.source is None:
                remedy = "start with a `generate`, or give the video a `source`"
                yield BrokenRule(
                    here, "the first chunk", "an extend has something to extend", remedy, (before,)
                )
            if held is not None:
                yield from check_joint(variant, chunk.extend, here)
            else:
                yield from _check_overlaps(variant, chunk.extend, limit, here, before)
            limit = longest_after(chunk.extend, variant.defaults, held)
        held = held_joint(chunk.settings.images, own_frames(chunk, variant.defaults))
        before = here


def _check_overlaps(
    variant: Variant, extend: Extend, limit: int | None, here: Location, before: Location
) -> Iterator[BrokenRule]:
    """Overlap against the chunk before, and, for repetitions, against the extend itself; in latents."""
    overlap = setting(extend, variant.defaults, "overlap_frames") // TEMPORAL
    own_limit = setting(extend, variant.defaults, "num_new_frames") // TEMPORAL + 1
    place = _where_written(extend, "overlap_frames", here)
    if limit is not None and overlap > limit:
        depends = (before, (*before, "num_frames"), (*before, "num_new_frames"), *FRAME_DEFAULTS)
        yield _overlap_finding(place, overlap, limit, f"what {place_of(before)} added", depends)
    elif extend.repeat > 1 and overlap > own_limit:
        depends = ((*here, "num_new_frames"), (*here, "repeat"), *FRAME_DEFAULTS)
        yield _overlap_finding(place, overlap, own_limit, "what the repetition before added", depends)


def _overlap_finding(
    place: Location, overlap: int, limit: int, what: str, depends: tuple[Location, ...]
) -> BrokenRule:
    longest = limit * TEMPORAL
    return BrokenRule(
        place,
        f"{overlap * TEMPORAL} frames",
        f"the blended overlap is no longer than {what}: at most {longest} frames",
        f"write {longest} or less, or make the chunk before longer",
        depends,
    )


def _where_written(chunk: Generate | Extend, field: str, here: Location) -> Location:
    """The field where the chunk sets it, else the chunk: its default does not suit this place."""
    return (*here, field) if field in chunk.model_fields_set else here


def check_length(spec: JobSpec) -> Iterator[BrokenRule]:
    """No film is longer than a player can count."""
    for variant in variants(spec):
        frames = most_frames(variant) * (spec.upscale.times if spec.upscale else 1)
        if frames > MAX_FILM_FRAMES:
            rule = f"at most {MAX_FILM_FRAMES} frames in a film"
            field = "shots" if variant.video.shots else "chunks"
            yield BrokenRule(("videos", variant.index, field), f"{frames} frames", rule, "split the film")


def most_frames(variant: Variant) -> int:
    """Frames of a film without its source; overlaps take some of them away."""
    return sum(frames_at_most(placed.chunk, variant.defaults) for placed in placed_chunks(variant))


def frames_at_most(chunk: Chunk, defaults: Defaults) -> int:
    """Frames that a chunk adds to its film; an overlap takes some of them away."""
    if chunk.generate is not None:
        return int(setting(chunk.generate, defaults, "num_frames"))
    assert chunk.extend is not None
    return int(setting(chunk.extend, defaults, "num_new_frames")) * chunk.extend.repeat
