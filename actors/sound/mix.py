"""Tracks read and added: the same samples in whatever blocks they are asked for, and on every machine.

A file is brought to the film's rate by ffmpeg, and to two channels where it has more. All that follows is
numpy in float64, in the order of the tracks, and float32 at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from actors.media.audio import SAME_ON_EVERY_CPU, trimmed
from actors.media.process import Call, compile_command, read_blocks
from actors.sound.gains import (
    amplitude,
    duck_depths,
    duck_gain,
    fade_gain,
    hop_levels,
    hop_samples,
    pan_matrix,
)
from jobs.errors import BadOutput, InvalidInput, StageError
from jobs.frames import Span
from jobs.sound.planned import PlannedTrack

BLOCK_HOPS = 100
"""Of 10 ms, which are read and added at a time."""


@dataclass(frozen=True, slots=True)
class TrackSource:
    """Where a track is read: `stream` opens an ffmpeg-python stream of its sound, whose sample `first`, at
    the film's rate, is heard with the film's sample `place.start`. `path` is the user's file; `whole` is
    where the track would be heard if it were not a part, which its fades are counted by."""

    track: PlannedTrack
    place: Span
    first: int
    channels: int
    stream: Callable[[], Any]
    path: Path | None = None
    whole: Span | None = None

    @property
    def faded(self) -> Span:
        """Where its fades begin and end, as far as the file goes."""
        return self.place if self.whole is None else self.whole


@dataclass(frozen=True)
class Mix:
    """The sound of a film: `samples` of `channels` at `rate`."""

    sources: tuple[TrackSource, ...]
    samples: int
    rate: int
    channels: int

    def blocks(self, gain_db: float = 0.0, stem: int | None = None) -> Iterator[np.ndarray]:
        """float32 `[n, channels]`, in order, a second at a time: the mix, or what one track adds to it.

        Raises InvalidInput for a file with a sample that is no finite number, and as `read_blocks`.
        """
        for block in self._added(range(len(self.sources)) if stem is None else [stem]):
            yield (block * amplitude(gain_db)).astype(np.float32)

    def peak(self) -> float:
        """The largest amplitude of the mix; above 1 it would clip."""
        return max((float(np.abs(block).max(initial=0.0)) for block in self.blocks()), default=0.0)

    def _added(self, numbers: Sequence[int]) -> Iterator[np.ndarray]:
        """float64 `[n, channels]`: the sum of these tracks."""
        opened = [(number, self._read(self.sources[number])) for number in numbers]
        for block in self._spans():
            total = np.zeros((len(block), self.channels))
            for number, samples in opened:
                heard = next(samples)
                if heard is not None:
                    total += self._in_the_mix(number, heard, block)
            yield total

    def _spans(self) -> Iterator[Span]:
        """Whole hops, about a second of them."""
        size = BLOCK_HOPS * hop_samples(self.rate)
        for start in range(0, self.samples, size):
            yield Span(start, min(start + size, self.samples))

    def _in_the_mix(self, number: int, heard: np.ndarray, block: Span) -> np.ndarray:
        source, track = self.sources[number], self.sources[number].track
        gain = amplitude(track.gain_db) * fade_gain(track, self.rate, self._heard[number], block)
        if track.duck is not None:
            gain *= duck_gain(self._depths[number], track.duck.by_db, hop_samples(self.rate), block)
        spread = heard.astype(np.float64)
        if source.channels != self.channels or track.pan:
            spread = spread @ pan_matrix(track.pan, source.channels).T
        return np.asarray(spread * gain[:, None])

    @cached_property
    def _heard(self) -> tuple[Span, ...]:
        """Where each track is heard: its place, or up to its end where that has to be known for a fade."""
        return tuple(
            Span(source.faded.start, source.faded.start + sum(map(len, self._decoded(source, source.faded))))
            if source.track.fade_out_s > 0
            else source.faded
            for source in self.sources
        )

    @cached_property
    def _depths(self) -> tuple[np.ndarray, ...]:
        """How far down each track is, by hop; nothing for those that do not duck."""
        others = [number for number, source in enumerate(self.sources) if source.track.duck is None]
        hop = hop_samples(self.rate)
        levels = np.concatenate([hop_levels(block, hop) for block in self._added(others)])
        return tuple(
            duck_depths(levels, source.track.duck) if source.track.duck else np.zeros(0)
            for source in self.sources
        )

    def _read(self, source: TrackSource) -> Iterator[np.ndarray | None]:
        """A track's samples for each block of the film, float32 `[n, channels]`; None where it is silent."""
        decoded, rest = self._decoded(source, source.place), np.zeros((0, source.channels), np.float32)
        for block in self._spans():
            low, high = max(block.start, source.place.start), min(block.stop, source.place.stop)
            if low >= high:
                yield None
                continue
            samples = np.zeros((len(block), source.channels), np.float32)
            filled = low - block.start
            while filled < high - block.start:
                rest = rest if len(rest) else next(decoded, rest)
                if not len(rest):
                    break
                taken = rest[: high - block.start - filled]
                samples[filled : filled + len(taken)] = taken
                filled, rest = filled + len(taken), rest[len(taken) :]
            if block.stop >= source.place.stop:
                _finish(decoded)
            yield samples

    def _decoded(self, source: TrackSource, place: Span) -> Iterator[np.ndarray]:
        """What there is of a track within the samples `place` of the film, float32 `[n, channels]`."""
        import ffmpeg

        if not place:
            # A file that begins after the film has no sample there, and ffmpeg counts none below 0.
            return
        first = source.first + place.start - source.place.start
        sound = trimmed(source.stream(), self.rate, first, len(place))
        raw = {"f": "f32le", "c:a": "pcm_f32le", "ac": source.channels, "ar": self.rate}
        command = compile_command(ffmpeg.output(sound, "pipe:", **raw).global_args(*SAME_ON_EVERY_CPU))
        size = 4 * source.channels * self.rate
        for data in read_blocks(command, Call("read the sound", reads=source.path), size):
            samples = np.frombuffer(data, "<f4").reshape(-1, source.channels)
            if not np.isfinite(samples).all():
                raise _broken(source)
            yield samples


def _finish(decoded: Iterator[np.ndarray]) -> None:
    """Nothing is left, but what ffmpeg says of the file's end."""
    for _ in decoded:
        pass


def no_numbers(path: str | Path) -> str:
    """What is said of a file that changed since it was checked."""
    return f"{path} holds samples that are no finite numbers; export the sound again"


def _broken(source: TrackSource) -> StageError:
    if source.path is not None:
        return InvalidInput(no_numbers(source.path))
    return BadOutput(
        f"the sound that was made holds samples that are no finite numbers (track {source.track.name}); void "
        "its segments and render them again"
    )
