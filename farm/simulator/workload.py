"""Synthetic jobs: films of chunks with given stage times. Benchmarks, tables and tests draw on them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from farm.scheduler.graph import ScheduledTask
from jobs.frames import Joint
from jobs.tasks.task import Stage


@dataclass(frozen=True, slots=True)
class StageTimes:
    """Seconds per chunk. A stage of zero seconds does not exist, except sample and decode."""

    sample_s: float
    upscale_s: float
    decode_s: float
    segment_s: float = 0.0
    encode_s: float = 0.0

    def scaled(self, factor: float) -> StageTimes:
        """Every stage takes `factor` times as long."""
        return StageTimes(*(getattr(self, name) * factor for name in self.__slots__))


SLEEPS = StageTimes(0.4, 0.1, 0.2)
"""The stages of the sleep benchmarks."""

H200 = {
    "LTXV 2B": StageTimes(2.0, 3.2, 1.4),
    "LTXV 13B": StageTimes(9.8, 12.3, 1.4),
    "LTX-2": StageTimes(11.3, 14.9, 1.4),
}
"""Measured on one H200, 97 frames with guidance: 20 steps at 768x512, 5 refining steps and the decode at
1536x1024. LTX-2 is 2.3 with its sound, brought from 121 frames to 97 by its tokens (docs/gpu.md)."""


@dataclass(frozen=True, slots=True)
class SimulatedFilm:
    """One video. `chained`: each chunk extends the one before it; `joint`: what it shares with that one in
    the second pass. A still is made when the next chunk is sampled. `rounds` has the seconds of each tile of
    each temporal round; `canvas_s` are those of a canvas. A chunk is decoded in that many `windows`, which
    share its seconds.

    `frame_bytes` is the payload of one decoded chunk; latents weigh a hundredth of it.
    """

    name: str
    chunks: int
    times: StageTimes
    chained: bool = True
    joint: Joint = "none"
    frame_bytes: int = 0
    rounds: tuple[tuple[float, ...], ...] = ()
    canvas_s: float = 0.01
    windows: int = 1

    def tasks(self) -> Iterator[ScheduledTask]:
        """The film's stage tasks in plan order, needs first."""
        ahead = int(self._settles_late)
        for chunk in range(self.chunks + ahead):
            if chunk < self.chunks:
                yield from self._first_pass(chunk)
            if chunk >= ahead:
                yield from self._rest(chunk - ahead)

    @property
    def _settles_late(self) -> bool:
        return self.chained and bool(self.times.upscale_s) and self.joint == "still"

    def _first_pass(self, chunk: int) -> Iterator[ScheduledTask]:
        times = self.times
        encode = (self._id(chunk, Stage.ENCODE),) if times.encode_s else ()
        if encode:
            yield self._task(chunk, Stage.ENCODE, (), times.encode_s)
        before = self._before(chunk, Stage.SAMPLE) if self.chained else ()
        yield self._task(chunk, Stage.SAMPLE, encode + before, times.sample_s, self.frame_bytes // 100)

    def _rest(self, chunk: int) -> Iterator[ScheduledTask]:
        times = self.times
        last: tuple[str, ...] = (self._id(chunk, Stage.SAMPLE),)
        if times.upscale_s:
            yield self._task(
                chunk, Stage.UPSCALE, (*last, *self._met(chunk)), times.upscale_s, self.frame_bytes // 25
            )
            last = (self._id(chunk, Stage.UPSCALE),)
        for number, tiles in enumerate(self.rounds, 1):
            canvas, parts = f".r{number}", tuple(f".r{number}-t{at}" for at in range(len(tiles)))
            yield self._task(chunk, Stage.UPSCALE, last, self.canvas_s, label=canvas)
            for part, seconds in zip(parts, tiles, strict=True):
                needs = (self._id(chunk, Stage.UPSCALE, canvas),)
                yield self._task(chunk, Stage.UPSCALE, needs, seconds, label=part)
            last = tuple(self._id(chunk, Stage.UPSCALE, part) for part in parts)
        yield from self._decodes(chunk, last)
        if times.segment_s:
            fade = self._before(chunk, Stage.DECODE) if self.chained and self.windows == 1 else ()
            frames = tuple(self._id(chunk, Stage.DECODE, label) for label in self._labels)
            yield self._task(chunk, Stage.SEGMENT, (*frames, *fade), times.segment_s)

    @property
    def _labels(self) -> tuple[str, ...]:
        """Of the decodes of a chunk."""
        return ("",) if self.windows == 1 else tuple(f".w{number}" for number in range(self.windows))

    def _decodes(self, chunk: int, shown: tuple[str, ...]) -> Iterator[ScheduledTask]:
        """Where there is a tile for each window, it needs that and those beside it, for its context."""
        seconds, size = self.times.decode_s / self.windows, self.frame_bytes // self.windows
        for at, label in enumerate(self._labels):
            needs = shown[max(0, at - 1) : at + 2] if len(shown) == self.windows else shown
            yield self._task(chunk, Stage.DECODE, needs, seconds, size, label)

    def _met(self, chunk: int) -> tuple[str, ...]:
        """What a second pass needs of its neighbours."""
        if self._settles_late:
            return (self._id(chunk + 1, Stage.SAMPLE),) if chunk + 1 < self.chunks else ()
        return self._before(chunk, Stage.UPSCALE) if self.joint == "overlap" else ()

    def _task(
        self,
        chunk: int,
        stage: Stage,
        needs: tuple[str, ...],
        duration_s: float,
        payload_bytes: int = 0,
        label: str = "",
    ) -> ScheduledTask:
        name, prompt = self._id(chunk, stage, label), stage is Stage.ENCODE
        sizes, model = (payload_bytes, duration_s), RESIDENT[stage]
        return ScheduledTask(name, stage, needs, self.name, chunk, *sizes, model, prompt=prompt)

    def _before(self, chunk: int, stage: Stage) -> tuple[str, ...]:
        return (self._id(chunk - 1, stage),) if chunk else ()

    def _id(self, chunk: int, stage: Stage, label: str = "") -> str:
        return f"{self.name}/{chunk:05d}{label}/{stage}"


RESIDENT = {
    Stage.ENCODE: "text encoder",
    Stage.SAMPLE: "transformer",
    Stage.UPSCALE: "transformer",
    Stage.DECODE: "vae",
    Stage.SEGMENT: "",
}
"""The model that each stage runs on."""


def films(count: int, film: SimulatedFilm) -> list[SimulatedFilm]:
    """`count` equal films, numbered."""
    return [replace(film, name=f"{film.name}{number}") for number in range(count)]


def job(some: Iterable[SimulatedFilm]) -> Iterator[ScheduledTask]:
    """All tasks of some films, film after film."""
    for film in some:
        yield from film.tasks()
