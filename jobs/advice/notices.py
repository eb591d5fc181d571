"""What happens to sources, sounds and images without being asked for: said before the render.

Each line names the file, what happens to it, and what to write to have it otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.advice.retakes import retake_notices
from jobs.advice.sound import left_out_sound, sound_notices
from jobs.frames import TEMPORAL, exact_rate
from jobs.planning.held import single_stills
from jobs.wording import amount

if TYPE_CHECKING:
    from jobs.planning.facts import SourceFacts, VideoFact
    from jobs.planning.planned import Plan, PlannedSource, PlannedVideo

MOST_SNAPS = 8
"""Shots whose times are named."""
MOST_JOINTS = 4
"""Joints that are named one by one."""


def notices(plan: Plan, facts: SourceFacts) -> tuple[str, ...]:
    """One line for each change; films that share one share its line."""
    films: dict[str, list[str]] = {}
    for video in plan.films:
        for line in _of_video(video, facts):
            films.setdefault(line, []).append(video.name)
    return tuple(f"{_whose(names)}: {line}" for line, names in films.items())


def _whose(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


def _of_video(video: PlannedVideo, facts: SourceFacts) -> Iterator[str]:
    source = video.chunks[0].source
    fact = facts.videos.get(source.path) if source is not None else None
    if source is not None and video.chunks[0].kind == "source":
        yield from _left_out(source)
    if source is not None and fact is not None:
        yield from _shown(source.path, fact, video.frame_rate)
        yield from left_out_sound(video, source, fact)
    yield from sound_notices(video, facts)
    yield from _over_black(video, facts)
    yield from _held(video, facts)
    yield from _looked_at(video)
    yield from _snapped(video)
    yield from retake_notices(video, facts)


def _snapped(video: PlannedVideo) -> Iterator[str]:
    """Times of shots, which are snapped to whole latents of 8 frames."""
    yield from (f"snapped: {said}" for said in video.snaps[:MOST_SNAPS])
    if len(video.snaps) > MOST_SNAPS:
        yield f"snapped: {amount(len(video.snaps) - MOST_SNAPS, 'more shot')}"


def _held(video: PlannedVideo, facts: SourceFacts) -> Iterator[str]:
    """Where chunks meet in one still, and what is done to held clips."""
    single = [str(chunk.owned.start - 1) for chunk in single_stills(video)]
    if single:
        or_clip = ", or a `video` of 25 frames or more" if video.temporal == 1 else ""
        where = ", ".join(single[:MOST_JOINTS]) + (", ..." if len(single) > MOST_JOINTS else "")
        yield (
            f"one still alone is held at {amount(len(single), 'joint')} (frame {where}): it pins the place "
            "of things there and not their speed, so that they may turn or jerk. Hold stills 8 frames before "
            f"and after it, too (in a shot `at` {TEMPORAL / video.base_rate:.2f} s earlier and later, in "
            f"chunks `frame: -9`, and `frame: 7` of the next){or_clip}"
        )
    clips = {guide.path for chunk in video.chunks for guide in chunk.guides if guide.clip is not None}
    clips |= {each.path for chunk in video.chunks for each in chunk.references if each.frames is not None}
    for path in sorted(clips & facts.videos.keys()):
        yield from _shown(path, facts.videos[path], video.base_rate)


def _looked_at(video: PlannedVideo) -> Iterator[str]:
    """Clips that more than one chunk of a shot looks at."""
    later = (chunk for chunk in video.chunks if chunk.index_in_shot > 0)
    again = {each.path for chunk in later for each in chunk.references if each.frames is not None}
    for path in sorted(again):
        yield (
            f"each chunk of a shot looks at {_name(path)} from its start. Where it shows what happens when, "
            "write the shot as chunks, each with its own part"
        )


def _left_out(source: PlannedSource) -> Iterator[str]:
    """Frames that are left out for the arithmetic of latents; more of them only where the spec says so."""
    if 0 < source.skip_frames < TEMPORAL:
        have = source.skip_frames + source.frames
        yield (
            f"{source.skip_frames} of the {have} frames of {_name(source.path)} are left out at its start, "
            f"as a source opens a film with 8k + 1 frames, here {source.frames}. Give it {source.frames} or "
            f"{source.frames + TEMPORAL} frames to choose them yourself"
        )


def _shown(path: str, fact: VideoFact, frame_rate: float) -> Iterator[str]:
    name = _name(path)
    if fact.seconds is not None:
        yield (
            f"{name} has no constant frame rate: each frame of the film is the one on screen at its moment. "
            "Convert it to a constant rate first for other frames"
        )
    elif exact_rate(fact.frame_rate) != exact_rate(frame_rate):
        change = "left out" if exact_rate(fact.frame_rate) > exact_rate(frame_rate) else "shown twice or more"
        yield (
            f"{name} has {fact.frame_rate:g} frames per second and the film {frame_rate:g}: some are "
            f"{change}. `frame_rate: {fact.frame_rate:g}` shows each once"
        )
    if fact.hdr:
        yield f"{name} is HDR ({fact.hdr}): it is tone-mapped to BT.709. Convert it first to choose how"
    if fact.transparent:
        yield f"{name} has transparency: it is shown over black. Convert it first for another background"


def _over_black(video: PlannedVideo, facts: SourceFacts) -> Iterator[str]:
    paths = dict.fromkeys(guide.path for chunk in video.chunks for guide in chunk.guides)
    paths |= dict.fromkeys(each.path for chunk in video.chunks for each in chunk.references)
    for path in paths:
        image = facts.images.get(path)
        if image is not None and image.transparent:
            yield (
                f"the transparent parts of {_name(path)} are shown over black. Give it a background to have "
                "another"
            )


def _name(path: str) -> str:
    return Path(path).name
