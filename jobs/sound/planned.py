"""What is heard in a film, and where: its tracks, in samples of the film once a rate is known. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from math import floor
from typing import Literal

from jobs.frames import Span, audio_sample, first_sample

FadeCurve = Literal["linear", "equal-power"]


@dataclass(frozen=True, slots=True)
class PlannedDucking:
    """How a track makes room for those that do not duck; decibels and seconds as in the spec."""

    by_db: float
    threshold_db: float
    attack_s: float
    hold_s: float
    release_s: float


@dataclass(frozen=True, slots=True)
class PlannedTrack:
    """One track; `path` is None where the model makes it.

    It belongs to the film's frames `[start_frame, stop_frame)`: those of its shot (`shot` counts those of the
    film), or all. Its file begins `delay_s` after `start_frame`, and `skip_frames` of the film's frames into
    the file. `seconds` are counted from the file's first sample. Of one that is heard in a `part` of these
    frames alone, the fades are those of the whole.
    """

    name: str
    mode: Literal["mux", "condition", "generate"]
    path: str | None
    start_frame: int
    stop_frame: int
    shot: int | None = None
    delay_s: float = 0.0
    skip_frames: int = 0
    seconds: float | None = None
    gain_db: float = 0.0
    pan: float = 0.0
    fade_in_s: float = 0.0
    fade_out_s: float = 0.0
    fade_curve: FadeCurve = "linear"
    duck: PlannedDucking | None = None
    part: Span | None = None

    def first_sample(self, sample_rate: int, frame_rate: float) -> int:
        """Sample of the file that is heard with the film's first frame; negative: the file starts later."""
        whole = first_sample(self.skip_frames, self.delay_s, sample_rate, frame_rate)
        return whole - audio_sample(self.start_frame, sample_rate, frame_rate)

    def place(self, sample_rate: int, frame_rate: float, film_frames: int) -> Span:
        """Samples of a film of `film_frames` in which it may be heard; empty where that is outside of it."""
        whole = self.whole(sample_rate, frame_rate, film_frames)
        if self.part is None:
            return whole
        start, stop = (
            audio_sample(frame, sample_rate, frame_rate) for frame in (self.part.start, self.part.stop)
        )
        start = max(whole.start, start)
        return Span(start, max(start, min(whole.stop, stop)))

    def whole(self, sample_rate: int, frame_rate: float, film_frames: int) -> Span:
        """`place`, if it were not heard in a part alone."""
        end = audio_sample(film_frames, sample_rate, frame_rate)
        if self.path is None:
            start = audio_sample(self.start_frame, sample_rate, frame_rate)
        else:
            start = -self.first_sample(sample_rate, frame_rate)
        stop = audio_sample(self.stop_frame, sample_rate, frame_rate)
        if self.seconds is not None:
            stop = start + samples_of(self.seconds, sample_rate)
        start = min(max(0, start), end)
        return Span(start, max(start, min(stop, end)))

    def belongs_to(self, shot: int) -> bool:
        """Whether it is the shot's alone, or what the shot is sampled with."""
        return self.shot == shot or (self.shot is None and self.mode != "mux")

    def moved(self, frames: Span) -> PlannedTrack:
        """The track in a film of these `frames` alone, without what is done to it for the whole film."""
        before = max(0, frames.start - self.start_frame)
        here = replace(
            self,
            start_frame=max(0, self.start_frame - frames.start),
            stop_frame=min(self.stop_frame - frames.start, len(frames)),
            skip_frames=self.skip_frames + before,
            duck=None,
        )
        if self.shot is not None:
            return replace(here, shot=0)
        return replace(here, fade_in_s=0.0, fade_out_s=0.0)

    @property
    def is_plain(self) -> bool:
        """Whether it is heard as it is, as far as the film goes."""
        turned = self.gain_db or self.pan or self.fade_in_s or self.fade_out_s or self.duck
        return not turned and self.shot is None and self.seconds is None and self.part is None

    @property
    def said(self) -> str:
        """`score -9 dB, ducked`."""
        level = f" {self.gain_db:+g} dB" if self.gain_db else ""
        return f"{self.name}{level}{', ducked' if self.duck else ''}"


@dataclass(frozen=True, slots=True)
class PlannedSound:
    """The sound of a film: its `tracks`, mixed at `sample_rate`, at `loudness` LUFS (None: as it is) with no
    peak over `true_peak` dBTP. `stems`: each track is delivered beside the film."""

    tracks: tuple[PlannedTrack, ...]
    sample_rate: int
    loudness: float | None = None
    true_peak: float = -1.0
    stems: bool = False

    @property
    def is_plain(self) -> bool:
        """One track as it is: there is nothing to mix."""
        return len(self.tracks) == 1 and self.tracks[0].is_plain and self.loudness is None

    def of_shot(self, shot: int, frames: Span) -> PlannedSound | None:
        """What belongs to one shot, which has these `frames` of the film, in a film of its own: what it is
        sampled with and what plays in it alone, as it is. None where it is silent."""
        own = tuple(track.moved(frames) for track in self.tracks if track.belongs_to(shot))
        return PlannedSound(own, self.sample_rate) if own else None

    @property
    def paths(self) -> tuple[str, ...]:
        """The files, in order."""
        return tuple(dict.fromkeys(track.path for track in self.tracks if track.path is not None))

    @property
    def without_paths(self) -> PlannedSound:
        """What reaches a film's bytes, beside the contents of the files."""
        return replace(self, tracks=tuple(replace(track, path=None) for track in self.tracks))

    @property
    def said(self) -> str:
        """The tracks by name, with their gains."""
        return "; ".join(dict.fromkeys(track.said for track in self.tracks))


def samples_of(seconds: float, sample_rate: int) -> int:
    """Whole samples nearest to a time."""
    return floor(Fraction(seconds) * sample_rate + Fraction(1, 2))


GENERATED = "generated"


def track_names(given: list[str | None], usual: list[str]) -> list[str]:
    """A name for each track, none twice, capitals aside: its own, or the usual one, with a number where that
    is taken."""
    taken = {name.lower() for name in given if name is not None}
    names: list[str] = []
    for own, wanted in zip(given, usual, strict=True):
        name = own or _free(wanted, taken)
        taken.add(name.lower())
        names.append(name)
    return names


def _free(wanted: str, taken: set[str]) -> str:
    number, name = 1, wanted
    while name.lower() in taken:
        number += 1
        name = f"{wanted}-{number}"
    return name
