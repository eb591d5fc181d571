"""Synthetic jobs: films of chunks with given stage times. Benchmarks, tables and tests draw on them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from farm.scheduler.graph import ScheduledTask
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
    "LTX-2": StageTimes(12.7, 14.5, 1.4),
}
"""Measured on one H200, 97 frames: 20 steps at 768x512, 5 refining steps and the decode at 1536x1024."""


@dataclass(frozen=True, slots=True)
class SimulatedFilm:
    """One video. `chained`: each chunk extends the one before it; `guided`: so does its upscale.

    `frame_bytes` is the payload of one decoded chunk; latents weigh a hundredth of it.
    """

    name: str
    chunks: int
    times: StageTimes
    chained: bool = True
    guided: bool = False
    frame_bytes: int = 0

    def tasks(self) -> Iterator[ScheduledTask]:
        """The film's stage tasks in plan order."""
        for chunk in range(self.chunks):
            yield from self._chunk(chunk)

    def _chunk(self, chunk: int) -> Iterator[ScheduledTask]:
        times, latent_bytes = self.times, self.frame_bytes // 100
        encode = (self._id(chunk, Stage.ENCODE),) if times.encode_s else ()
        if encode:
            yield self._task(chunk, Stage.ENCODE, (), times.encode_s)
        before = self._before(chunk, Stage.SAMPLE) if self.chained else ()
        latents = self._task(chunk, Stage.SAMPLE, encode + before, times.sample_s, latent_bytes)
        yield latents
        if times.upscale_s:
            guide = self._before(chunk, Stage.UPSCALE) if self.guided else ()
            needs = (latents.id, *guide)
            latents = self._task(chunk, Stage.UPSCALE, needs, times.upscale_s, 4 * latent_bytes)
            yield latents
        yield self._task(chunk, Stage.DECODE, (latents.id,), times.decode_s, self.frame_bytes)
        if times.segment_s:
            fade = self._before(chunk, Stage.DECODE) if self.chained else ()
            frames = self._id(chunk, Stage.DECODE)
            yield self._task(chunk, Stage.SEGMENT, (frames, *fade), times.segment_s)

    def _task(
        self, chunk: int, stage: Stage, needs: tuple[str, ...], duration_s: float, payload_bytes: int = 0
    ) -> ScheduledTask:
        name = self._id(chunk, stage)
        return ScheduledTask(name, stage, needs, self.name, chunk, payload_bytes, duration_s, RESIDENT[stage])

    def _before(self, chunk: int, stage: Stage) -> tuple[str, ...]:
        return (self._id(chunk - 1, stage),) if chunk else ()

    def _id(self, chunk: int, stage: Stage) -> str:
        return f"{self.name}/{chunk:05d}/{stage}"


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
