"""What becomes of the tracks of a film, where that may not be what was meant: said before the render."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jobs.frames import Span
    from jobs.planning.facts import SourceFacts, VideoFact
    from jobs.planning.planned import PlannedSource, PlannedVideo
    from jobs.sound.planned import PlannedSound, PlannedTrack


def sound_notices(video: PlannedVideo, facts: SourceFacts) -> Iterator[str]:
    """One line for each track of a film that is silent, not heard, ends early, or is cut off."""
    sound = video.sound
    for track in sound.tracks if sound else ():
        assert sound is not None
        place = track.place(sound.sample_rate, video.frame_rate, video.frames)
        if not place:
            yield _never_heard(track, video)
        elif track.path is not None and track.path in facts.sounds:
            fact = facts.sounds[track.path]
            if fact.silent:
                name = Path(track.path).name
                yield f"{name} is silent as far as it is played. Give another file, or leave it out"
            else:
                yield from _cut_or_padded(track, video, fact.seconds, place)


def _never_heard(track: PlannedTrack, video: PlannedVideo) -> str:
    begins_s = track.start_frame / video.frame_rate + track.delay_s
    if begins_s < 0:
        where = f"is over {-begins_s:.2f} s before the film begins"
    else:
        where = f"would begin at {begins_s:.2f} s"
    return f"{track.name} is not heard: it {where}, and the film has {video.seconds:.2f} s. Move it with `at`"


def _cut_or_padded(track: PlannedTrack, video: PlannedVideo, seconds: float, place: Span) -> Iterator[str]:
    """A file that is longer or shorter than its place by more than a frame."""
    sound = video.sound
    assert sound is not None
    rate, frame_s = sound.sample_rate, 1 / video.frame_rate + 1 / sound.sample_rate
    begins_s = -track.first_sample(rate, video.frame_rate) / rate
    start_s, stop_s, ends_s = place.start / rate, place.stop / rate, begins_s + seconds
    name = Path(track.path or "").name
    if ends_s <= start_s:
        yield f"{name} is not heard: it ends {start_s - ends_s:.2f} s before the film begins. Move it"
    elif stop_s - ends_s > frame_s and _fills_its_place(track, sound):
        yield _ends_early(track, video, name, stop_s - max(ends_s, start_s))
    elif ends_s - stop_s > frame_s and not _is_meant_to_be_cut(track):
        yield (
            f"the last {ends_s - stop_s:.2f} s of {name} are cut off: the film has {video.seconds:.2f} s. "
            "Make the film longer, or give the track a `fade_out`"
        )


def _fills_its_place(track: PlannedTrack, sound: PlannedSound) -> bool:
    """Of several tracks over a whole film, some are meant to be short."""
    return len(sound.tracks) == 1 or track.shot is not None or track.seconds is not None


def _is_meant_to_be_cut(track: PlannedTrack) -> bool:
    return track.shot is not None or track.seconds is not None or track.fade_out_s > 0


def _ends_early(track: PlannedTrack, video: PlannedVideo, name: str, silent_s: float) -> str:
    if track.seconds is not None:
        where = f"`seconds: {track.seconds:g}`"
    elif track.shot is not None:
        where = "its shot"
    else:
        return (
            f"{name} ends {silent_s:.2f} s before the film of {video.seconds:.2f} s, which ends in silence. "
            "Give a longer file, or make the film shorter"
        )
    return f"{name} ends {silent_s:.2f} s before {where} does. Give a longer file, where that is not meant"


def left_out_sound(video: PlannedVideo, source: PlannedSource, fact: VideoFact) -> Iterator[str]:
    """The sound of a source that is in no film."""
    name, sound = Path(source.path).name, video.sound
    tracks = sound.tracks if sound else ()
    if fact.sound_start_s is None or any(
        track.path == source.path or (track.mode == "generate" and track.shot in (None, 0))
        for track in tracks
    ):
        return
    path = json.dumps(source.path, ensure_ascii=False)
    if sound is None:
        yield f"the sound of {name} is left out. `sound: [{{file: {path}}}]` keeps it"
    else:
        yield f"the sound of {name} is left out: no track of `sound` is it. `{{file: {path}}}` adds it"
