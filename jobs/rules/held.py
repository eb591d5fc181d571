"""Guide images stand at frames that their chunk has, and what is held stands where two chunks meet."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from jobs.frames import TEMPORAL
from jobs.places import Location, place_of
from jobs.planning.expand import Variant, own_frames, setting, variants
from jobs.planning.held import LEAST_CLIP, HeldJoint, at_the_end, held_joint
from jobs.rules.findings import BrokenRule

if TYPE_CHECKING:
    from jobs.spec.chunk import Chunk, Defaults, Extend
    from jobs.spec.job import JobSpec

FRAME_DEFAULTS: tuple[Location, ...] = tuple(
    (section, field)
    for section in ("defaults", "matrix")
    for field in ("num_frames", "num_new_frames", "overlap_frames")
)
MADE_SOUND = (
    "sound that the model makes goes on from chunk to chunk, and chunks that meet in a held image share none"
)


def check_images(spec: JobSpec) -> Iterator[BrokenRule]:
    """Images and clips at the frames of their chunks, and no sound across what is held."""
    for variant in variants(spec):
        chunks = variant.video.chunks
        for index, chunk in enumerate(chunks):
            here: Location = ("videos", variant.index, "chunks", index)
            here = (*here, "generate" if chunk.generate else "extend")
            follower = chunks[index + 1] if index + 1 < len(chunks) else None
            repeats = chunk.extend is not None and chunk.extend.repeat > 1
            goes_on = repeats or (follower is not None and follower.extend is not None)
            yield from _check_frames(variant, chunk, here)
            yield from _check_clips(variant, chunk, here, goes_on)
            if goes_on:
                yield from _check_sound(variant, chunk, here)


def _check_frames(variant: Variant, chunk: Chunk, here: Location) -> Iterator[BrokenRule]:
    frames = own_frames(chunk, variant.defaults)
    for index, guide in enumerate(chunk.settings.images):
        if not -frames <= guide.frame < frames:
            rule = f"a frame of the chunk, which has {frames}: {-frames} to {frames - 1}"
            place = (*here, "images", index, "frame")
            depends = _depends(chunk, here)
            yield BrokenRule(place, str(guide.frame), rule, "write -1 for its last frame", depends)


def _check_clips(variant: Variant, chunk: Chunk, here: Location, goes_on: bool) -> Iterator[BrokenRule]:
    frames = own_frames(chunk, variant.defaults)
    joint = held_joint(chunk.settings.images, frames)
    for index, guide in enumerate(chunk.settings.images):
        place = (*here, "images", index)
        if guide.video is not None and at_the_end(guide, frames) is None:
            least = TEMPORAL * LEAST_CLIP + 1
            rule = f"a held clip begins {least}, {least + TEMPORAL}, ... frames before the end of its chunk"
            depends = _depends(chunk, here)
            yield BrokenRule((*place, "frame"), str(guide.frame), rule, f"write -{least}", depends)
        elif guide.video is not None and not goes_on:
            rule = "a clip is held where two chunks meet, and no extend follows this one"
            yield BrokenRule((*place, "video"), "the last chunk of its shot", rule, "add an `extend`")
        elif joint is not None and guide is not joint.guide and at_the_end(guide, frames) is not None:
            rule = f"one image or clip stands where two chunks meet, here {place_of(place[:-1])} has two"
            yield BrokenRule((*place, "hold"), "true", rule, "keep one of them")


def _check_sound(variant: Variant, chunk: Chunk, here: Location) -> Iterator[BrokenRule]:
    audio = variant.video.audio
    joint = held_joint(chunk.settings.images, own_frames(chunk, variant.defaults))
    if audio is not None and audio.mode == "generate" and joint is not None:
        remedy = (
            f"name a `file`, or leave `hold` out in {place_of((*here, 'images'))}, or begin the next chunk "
            "as a `generate`, with sound of its own"
        )
        depends = ((*here, "images"),)
        yield BrokenRule(("videos", variant.index, "audio"), "generate", MADE_SOUND, remedy, depends)


def check_joint(variant: Variant, extend: Extend, here: Location) -> Iterator[BrokenRule]:
    """An extend that begins with what is held overlaps nothing else; its repetitions may."""
    if "overlap_frames" in extend.model_fields_set and extend.repeat == 1:
        value = f"{extend.overlap_frames} frames"
        rule = "a chunk that begins with a held image shares nothing else with the one before it"
        yield BrokenRule((*here, "overlap_frames"), value, rule, "leave it out")
    elif extend.repeat > 1:
        frames = own_frames_of(extend, variant.defaults)
        overlap = setting(extend, variant.defaults, "overlap_frames")
        if held_joint(extend.images, frames) is None and overlap > frames:
            rule = f"the first repetition begins with a held image and adds {frames} frames: at most these"
            place = (*here, "overlap_frames")
            yield BrokenRule(place, f"{overlap} frames", rule, f"write {frames} or less")


def own_frames_of(extend: Extend, defaults: Defaults) -> int:
    return int(setting(extend, defaults, "num_new_frames"))


def longest_after(extend: Extend, defaults: Defaults, held: HeldJoint | None) -> int:
    """Latents of the longest overlap behind an extend. One that begins with what is `held` has one less: its
    slot 0 shows a single frame."""
    new = own_frames_of(extend, defaults) // TEMPORAL
    return new if held is not None and extend.repeat == 1 else new + 1


def _depends(chunk: Chunk, here: Location) -> tuple[Location, ...]:
    field = "num_frames" if chunk.generate else "num_new_frames"
    return ((*here, field), *FRAME_DEFAULTS)
