"""How far into sound files films play them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from jobs.planning.plan import source_plan
from jobs.rules.chains import most_frames

if TYPE_CHECKING:
    from jobs.planning.expand import Variant
    from jobs.planning.facts import SourceFacts
    from jobs.spec.sound import SoundTrack


ROOM_S = 1.0
"""What snapping may add to a shot: less than eight frames at any rate that is filmed at."""


def seconds_heard(films: Iterable[Variant], facts: SourceFacts) -> Mapping[str, float]:
    """How far into each sound file a film plays it at the most, seconds."""
    heard: dict[str, float] = defaultdict(float)
    for variant in films:
        for track in variant.video.sound:
            if track.file is not None:
                heard[track.file] = max(heard[track.file], _played_s(variant, facts, track, track.file))
    return heard


def _played_s(variant: Variant, facts: SourceFacts, track: SoundTrack, path: str) -> float:
    stop_s = _stop_s(variant, facts, path)
    if track.shot is None:
        stop_s -= track.at
    else:
        lasts = {shot.name: shot.seconds + ROOM_S for shot in variant.video.shots}
        stop_s = min(stop_s - min(track.at, 0.0), lasts.get(track.shot, stop_s) - track.at)
    return stop_s if track.seconds is None else track.seconds


def _stop_s(variant: Variant, facts: SourceFacts, path: str) -> float:
    """Where the film ends on the clock of a sound file that starts with it."""
    frames = most_frames(variant)
    source = variant.video.source
    if source is None or facts.frames(source.path, variant.frame_rate) is None:
        return frames / variant.frame_rate
    opened = source_plan(variant, facts)
    assert opened is not None
    skipped = opened.skip_frames if source.path == path else 0
    return (skipped + opened.frames + frames) / variant.frame_rate
