"""Guide images stand at frames that their chunk has, and what is held stands where two chunks meet."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from typing import TYPE_CHECKING

from jobs.frames import TEMPORAL
from jobs.places import Location, place_of
from jobs.planning.expand import PlacedChunk, Variant, layouts, own_frames, placed_chunks, setting, variants
from jobs.planning.held import LEAST_CLIP, HeldJoint, at_the_end, held_joint
from jobs.rules.findings import BrokenRule
from jobs.sound.tracks import sampled_tracks

if TYPE_CHECKING:
    from jobs.planning.shots import ShotLayout
    from jobs.spec.chunk import Defaults, Extend
    from jobs.spec.job import JobSpec
    from jobs.spec.sound import SoundTrack
    from jobs.spec.video import Video

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
        chunks, sounds = placed_chunks(variant), sampled_tracks(variant.video)
        shot = -1 if variant.video.source is None else 0
        for placed, follower in zip_longest(chunks, chunks[1:]):
            chunk = placed.chunk
            shot += chunk.generate is not None
            repeats = chunk.extend is not None and chunk.extend.repeat > 1
            goes_on = repeats or (follower is not None and follower.chunk.extend is not None)
            if not variant.video.shots:
                yield from _check_frames(variant, placed)
                yield from _check_clips(variant, placed, goes_on)
            yield from _check_one_held(variant, placed)
            if goes_on:
                yield from _check_sound(variant, placed, sounds.get(shot))


def _check_frames(variant: Variant, placed: PlacedChunk) -> Iterator[BrokenRule]:
    frames = own_frames(placed.chunk, variant.defaults)
    for guide, place in zip(placed.chunk.settings.images, placed.images, strict=True):
        if not -frames <= guide.frame < frames:
            rule = f"a frame of the chunk, which has {frames}: {-frames} to {frames - 1}"
            depends = _depends(placed)
            yield BrokenRule(
                (*place, "frame"), str(guide.frame), rule, "write -1 for its last frame", depends
            )


def _check_clips(variant: Variant, placed: PlacedChunk, goes_on: bool) -> Iterator[BrokenRule]:
    images, frames = placed.chunk.settings.images, own_frames(placed.chunk, variant.defaults)
    for guide, place in zip(images, placed.images, strict=True):
        if guide.video is not None and at_the_end(guide, frames) is None:
            least = TEMPORAL * LEAST_CLIP + 1
            rule = f"a held clip begins {least}, {least + TEMPORAL}, ... frames before the end of its chunk"
            depends = _depends(placed)
            yield BrokenRule((*place, "frame"), str(guide.frame), rule, f"write -{least}", depends)
        elif guide.video is not None and not goes_on:
            rule = "a clip is held where two chunks meet, and no extend follows this one"
            yield BrokenRule((*place, "video"), "the last chunk of its shot", rule, "add an `extend`")


def _check_one_held(variant: Variant, placed: PlacedChunk) -> Iterator[BrokenRule]:
    images, frames = placed.chunk.settings.images, own_frames(placed.chunk, variant.defaults)
    joint = held_joint(images, frames)
    for guide, place in zip(images, placed.images, strict=True):
        if joint is not None and guide is not joint.guide and at_the_end(guide, frames) is not None:
            rule = f"one image or clip stands where two chunks meet, here {place_of(place[:-1])} has two"
            yield BrokenRule((*place, "hold"), "true", rule, "keep one of them")


def _check_sound(variant: Variant, placed: PlacedChunk, track: SoundTrack | None) -> Iterator[BrokenRule]:
    here = placed.here
    joint = held_joint(placed.chunk.settings.images, own_frames(placed.chunk, variant.defaults))
    if track is not None and track.generate and joint is not None:
        remedy = (
            f"name a `file`, or leave `hold` out in {place_of((*here, 'images'))}, or begin a shot there, "
            "with sound of its own"
        )
        depends = ((*here, "images"),)
        place = ("videos", variant.index, "sound", variant.video.sound.index(track))
        yield BrokenRule(place, "generate", MADE_SOUND, remedy, depends)


def check_shots(spec: JobSpec) -> Iterator[BrokenRule]:
    """Shots have names of their own, and what stands in them has its time and its room."""
    for index, video in enumerate(spec.videos):
        seen: set[str] = set()
        for number, shot in enumerate(video.shots):
            place: Location = ("videos", index, "shots", number)
            if shot.name in seen:
                rule = "each shot of a video has a name of its own"
                yield BrokenRule((*place, "name"), shot.name, rule, "give it another name")
            seen.add(shot.name)
        yield from _check_takes(video, ("videos", index))
    for variant in variants(spec):
        for number, layout in enumerate(layouts(variant)):
            place = ("videos", variant.index, "shots", number)
            yield from _check_times(layout, place)
            yield from _check_room(layout, place)


def _check_takes(video: Video, here: Location) -> Iterator[BrokenRule]:
    """Takes are picked by the name of their shot."""
    names = [chunk.generate.shot for chunk in video.chunks if chunk.generate is not None]
    for number, chunk in enumerate(video.chunks):
        if chunk.generate is None or chunk.generate.takes == 1:
            continue
        place, name = (*here, "chunks", number, "generate"), chunk.generate.shot
        if name is None:
            rule = "takes are picked by the name of their shot, and this has none"
            yield BrokenRule((*place, "takes"), str(chunk.generate.takes), rule, "write `shot: NAME`")
        elif names.count(name) > 1:
            rule = "takes are picked by the name of their shot, which several shots of the video have"
            yield BrokenRule((*place, "shot"), name, rule, "give it another name")


def _check_times(layout: ShotLayout, place: Location) -> Iterator[BrokenRule]:
    shot = layout.shot
    timed = [*((("beats", i), b.at) for i, b in enumerate(shot.beats))]
    timed += [*((("images", i), image.at) for i, image in enumerate(shot.images))]
    for where, at in timed:
        late = at > shot.seconds or (where[0] == "beats" and at == shot.seconds)
        if late:
            rule = f"a moment of the shot, which lasts {shot.seconds:g} s"
            most = "less than" if where[0] == "beats" else "at most"
            remedy = f"write {most} {shot.seconds:g}, or make the shot longer"
            yield BrokenRule((*place, *where, "at"), f"{at:g}", rule, remedy, ((*place, "seconds"),))
    taken: dict[int, int] = {}
    for index, beat in enumerate(shot.beats):
        other = taken.setdefault(layout.beat_joint(beat.at), index)
        if other != index:
            rule = f"beats that are 8 frames apart or more, and beats[{other}] begins at the same one"
            yield BrokenRule((*place, "beats", index, "at"), f"{beat.at:g}", rule, "move or remove one")


def _check_room(layout: ShotLayout, place: Location) -> Iterator[BrokenRule]:
    """No other joint cuts through a held clip, and there is a latent behind it."""
    for joint, index in layout.held_joints.items():
        if layout.shot.images[index].video is None:
            continue
        first = joint - LEAST_CLIP
        inside = [other for other in layout.joints if first <= other < joint]
        if first < 1 or joint > layout.latents - 2 or inside:
            at = (*place, "images", index, "at")
            room = f"{TEMPORAL / layout.frame_rate:.2f} s or more from the shot's start, and"
            rule = f"a held clip of 25 frames begins {room} ends within it, with no beat or held image in it"
            yield BrokenRule(at, f"{layout.shot.images[index].at:g}", rule, "move it", ((*place, "seconds"),))


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


def _depends(placed: PlacedChunk) -> tuple[Location, ...]:
    field = "num_frames" if placed.chunk.generate else "num_new_frames"
    return ((*placed.here, field), *FRAME_DEFAULTS)
