"""Tracks of a video: shots that there are, one sound that each is sampled with, something to duck under."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from jobs.places import Location, nearest, place_of, shown
from jobs.rules.findings import BrokenRule
from jobs.sound.tracks import shot_names

if TYPE_CHECKING:
    from jobs.spec.job import JobSpec
    from jobs.spec.sound import SoundTrack
    from jobs.spec.video import Video


def placed_tracks(spec: JobSpec) -> Iterator[tuple[Location, SoundTrack]]:
    """Every track of the job, with its place."""
    for index, video in enumerate(spec.videos):
        for number, track in enumerate(video.sound):
            yield ("videos", index, "sound", number), track


def check_tracks(spec: JobSpec) -> Iterator[BrokenRule]:
    """What the tracks of each video are to each other, and to its shots."""
    for index, video in enumerate(spec.videos):
        here: Location = ("videos", index, "sound")
        yield from _check_names(video, here)
        yield from _check_shots(video, here)
        yield from _check_sampled(video, here)
        yield from _check_ducking(video, here)


def _check_names(video: Video, here: Location) -> Iterator[BrokenRule]:
    seen: dict[str, int] = {}
    for number, track in enumerate(video.sound):
        if track.name is not None and seen.setdefault(track.name.lower(), number) != number:
            rule = "each track of a video has a name of its own, capitals aside"
            yield BrokenRule((*here, number, "name"), shown(track.name), rule, "give it another name")


def _check_shots(video: Video, here: Location) -> Iterator[BrokenRule]:
    names = [name for name in shot_names(video) if name]
    shots: Location = (*here[:2], "shots")
    named: list[Location] = [(*shots, at, "name") for at in range(len(video.shots))] or [shots]
    depends = (*named, (*here[:2], "chunks"))
    for number, track in enumerate(video.sound):
        if track.shot is None or names.count(track.shot) == 1:
            continue
        place = (*here, number, "shot")
        if track.shot in names:
            rule, remedy = "the name of one shot; several have it", "give each `generate` a name of its own"
        else:
            near = nearest(track.shot, names)
            rule = f"the name of a shot of the video: {_listed(names)}"
            remedy = f"did you mean `{near}`?" if near else "write one of these, or leave `shot` out"
        yield BrokenRule(place, shown(track.shot), rule, remedy, depends)


def _listed(names: list[str], most: int = 12) -> str:
    if not names:
        return "none has one (`generate: {shot: NAME}`)"
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _check_sampled(video: Video, here: Location) -> Iterator[BrokenRule]:
    """A shot is sampled with one sound: the model makes it, or hears a file."""
    earlier: list[tuple[int, SoundTrack]] = []
    for number, track in enumerate(video.sound):
        if not track.is_sampled:
            continue
        other = next((at for at, known in earlier if _share_a_shot(known, track)), None)
        if other is not None:
            rule = (
                "a shot is sampled with one sound, which the model makes or hears; "
                f"{place_of((*here, other))} is that already"
            )
            remedy = "give each a `shot` of its own, or leave "
            remedy += "one out" if track.generate and video.sound[other].generate else "`mode: condition` out"
            depends = tuple((*here, at, "shot") for at in (other, number))
            value = "generate" if track.generate else "condition"
            yield BrokenRule((*here, number), value, rule, remedy, depends)
        earlier.append((number, track))


def _share_a_shot(one: SoundTrack, other: SoundTrack) -> bool:
    return one.shot is None or other.shot is None or one.shot == other.shot


def _check_ducking(video: Video, here: Location) -> Iterator[BrokenRule]:
    for number, track in enumerate(video.sound):
        if track.duck is not None and all(other.duck is not None for other in video.sound):
            rule = "a track makes room for those that do not duck, and there is none"
            yield BrokenRule((*here, number, "duck"), "set", rule, "leave it out, or add a track", (here,))
