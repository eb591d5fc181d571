"""The soundtrack of a film: where each of its tracks is read, and the mix as ffmpeg's input."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actors.media.audio import channels_of, cut_track, track_rate
from actors.media.opening import media_input
from actors.media.probe import probe_audio
from actors.sound.level import SoundLevel, sound_level
from actors.sound.loudness import limited
from actors.sound.mix import Mix, TrackSource
from jobs.frames import Span, audio_sample

if TYPE_CHECKING:
    from jobs.planning.planned import PlannedVideo
    from jobs.sound.planned import PlannedSound, PlannedTrack

STEREO = "stereo"
Playlist = Callable[[Span], Path]
"""Lists the segments of these frames of the film for ffmpeg's concat demuxer."""


@dataclass(frozen=True, slots=True)
class Soundtrack:
    """What is heard in a film; `layout` names the channels of the mix as ffmpeg does, `codec` is that of
    the film's track. One track as it is need not be mixed: ffmpeg reads it itself."""

    mix: Mix
    layout: str
    codec: str
    as_it_is: bool
    level: SoundLevel

    def stream(self) -> Any:
        """ffmpeg-python stream of what `feed` writes to standard input, or of the only track."""
        if self.as_it_is:
            (source,) = self.mix.sources
            return cut_track(
                source.stream(), self.mix.rate, self.mix.samples, source.first - source.place.start
            )
        if self.level.limit_db is None:
            return self.piped()
        sound = limited(self.piped(), self.level.limit_db, self.mix.rate)
        return sound.filter("apad", whole_len=self.mix.samples).filter("atrim", end_sample=self.mix.samples)

    def piped(self) -> Any:
        """ffmpeg-python stream of samples on standard input."""
        import ffmpeg

        options = {"format": "f32le", "sample_rate": self.mix.rate, "ch_layout": self.layout}
        return ffmpeg.input("pipe:", **options)["a:0"]

    def feed(self) -> Iterator[bytes]:
        """The samples, float32, channels side by side; nothing where there is nothing to mix."""
        return iter(()) if self.as_it_is else self.stem(None)

    def stem(self, number: int | None) -> Iterator[bytes]:
        """What one track adds to the mix (None: all of them), before anything is limited."""
        for block in self.mix.blocks(self.level.gain_db, number):
            yield block.astype("<f4").tobytes()


def soundtrack(video: PlannedVideo, sound: PlannedSound, codec: str, playlist: Playlist) -> Soundtrack:
    """The soundtrack of `video`, for `codec`. One track alone keeps its channels, also where a draft hears it
    shot by shot; several become stereo.

    Raises InvalidInput for a file without sound, StorageProblem.
    """
    rate = track_rate(codec, sound.sample_rate)
    alone = _is_one(sound.tracks) and not sound.tracks[0].pan
    layouts = [_layout(track) for track in sound.tracks]
    layout = layouts[0] if alone else STEREO
    sources = tuple(
        _source(track, video, rate, playlist, channels_of(own) if alone else min(channels_of(own), 2))
        for track, own in zip(sound.tracks, layouts, strict=True)
    )
    samples = audio_sample(video.frames, rate, video.frame_rate)
    mix = Mix(sources, samples, rate, channels_of(layout))
    return Soundtrack(mix, layout, codec, sound.is_plain, sound_level(mix, layout, sound))


def _is_one(tracks: Sequence[PlannedTrack]) -> bool:
    """Whether these are one track, or parts of one."""
    return len(tracks) == 1 or (
        all(track.part is not None for track in tracks) and len({track.name for track in tracks}) == 1
    )


def _layout(track: PlannedTrack) -> str:
    if track.path is None:
        return STEREO
    named = probe_audio(track.path).layout
    return named if named != "unknown" else STEREO


def _source(
    track: PlannedTrack, video: PlannedVideo, rate: int, playlist: Playlist, channels: int
) -> TrackSource:
    place = track.place(rate, video.frame_rate, video.frames)
    if track.path is None:
        made = partial(_made, playlist, Span(track.start_frame, track.stop_frame))
        return TrackSource(track, place, 0, channels, made)
    first = track.first_sample(rate, video.frame_rate) + place.start
    whole = track.whole(rate, video.frame_rate, video.frames)
    return TrackSource(track, place, first, channels, partial(_of_file, track.path), Path(track.path), whole)


def _of_file(path: str) -> Any:
    return media_input(path)["a:0"]


def _made(playlist: Playlist, frames: Span) -> Any:
    """What the model made for these frames, which their segments keep."""
    import ffmpeg

    return ffmpeg.input(str(playlist(frames)), format="concat", safe=0)["a:0"]
