"""From the tracks of a spec to those of a plan, and which of them each shot is sampled with. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING

from jobs.sound.planned import GENERATED, PlannedDucking, PlannedSound, PlannedTrack, track_names
from jobs.spec.base import safe_name
from jobs.spec.sound import SoundTrack

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobs.frames import Span
    from jobs.spec.sound import Ducking
    from jobs.spec.video import Video


@dataclass(frozen=True, slots=True)
class OpeningSound:
    """The sound of a source as the film opens with it: `skip_frames` of the film's frames are left out, and
    it starts `start_s` after its first frame."""

    path: str
    skip_frames: int
    start_s: float


def shot_names(video: Video) -> tuple[str, ...]:
    """The name of each shot of a film, by its number; empty where it has none."""
    source = ("source",) if video.source is not None else ()
    if video.shots:
        return *source, *(shot.name for shot in video.shots)
    return *source, *(chunk.generate.shot or "" for chunk in video.chunks if chunk.generate is not None)


def sampled_tracks(video: Video) -> Mapping[int, SoundTrack]:
    """By shot of the film: the track that the model makes for it, or hears."""
    names, found = shot_names(video), dict[int, SoundTrack]()
    for track in video.sound:
        if track.is_sampled:
            found |= {shot: track for shot, name in enumerate(names) if track.shot in (None, name)}
    return found


def plan_sound(
    video: Video, shots: Sequence[Span], opening: OpeningSound | None = None
) -> PlannedSound | None:
    """The sound of a film whose shots have these frames; None where it is silent."""
    if not video.sound:
        return None
    names, titles = shot_names(video), _titles(video)
    tracks = []
    for title, track in zip(titles, video.sound, strict=True):
        shot = names.index(track.shot) if track.shot is not None else None
        frames = (shots[0].start, shots[-1].stop) if shot is None else (shots[shot].start, shots[shot].stop)
        tracks.append(plan_track(track, title, frames, shot, opening))
    mix = video.mix
    return PlannedSound(tuple(tracks), mix.sample_rate, mix.loudness, mix.true_peak, mix.stems)


def stem_titles(video: Video) -> list[str]:
    """The names of the tracks that are delivered beside the film."""
    return _titles(video) if video.mix.stems else []


def _titles(video: Video) -> list[str]:
    return track_names([track.name for track in video.sound], [_usual_name(track) for track in video.sound])


def _usual_name(track: SoundTrack) -> str:
    """That of its file, or of the shot whose sound is made."""
    return safe_name(PurePath(track.file).stem) if track.file else track.shot or GENERATED


def plan_track(
    track: SoundTrack,
    name: str,
    frames: tuple[int, int],
    shot: int | None,
    opening: OpeningSound | None,
) -> PlannedTrack:
    """A track that belongs to the film's frames `[start, stop)`. A source's own sound follows its picture:
    what is left out of the one is left out of the other."""
    own = opening if opening is not None and opening.path == track.file else None
    return PlannedTrack(
        name=name,
        mode="generate" if track.generate else track.mode,
        path=track.file,
        start_frame=frames[0],
        stop_frame=frames[1],
        shot=shot,
        delay_s=track.at + (own.start_s if own else 0.0),
        skip_frames=own.skip_frames if own else 0,
        seconds=track.seconds,
        gain_db=track.gain_db,
        pan=track.pan,
        fade_in_s=track.fade_in,
        fade_out_s=track.fade_out,
        fade_curve=track.fade_curve,
        duck=_ducking(track.duck) if track.duck else None,
    )


def _ducking(duck: Ducking) -> PlannedDucking:
    return PlannedDucking(duck.by_db, duck.threshold_db, duck.attack, duck.hold, duck.release)
