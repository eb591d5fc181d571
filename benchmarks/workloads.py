"""The jobs that every contender renders, the machine they ask for, and the bound on their makespan."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from farm.simulator.workload import SLEEPS, SimulatedFilm, StageTimes, job
from farm.topology.bound import job_facts
from jobs.tasks.task import Stage
from jobs.tasks.topology import Machine, parse_topology

STAGED = "sample=2,upscale=1,decode=1"
WORKERS = {Stage.SAMPLE: 2, Stage.UPSCALE: 1, Stage.DECODE: 1}
GPUS = 4
FIRST_FRAMES, MORE_FRAMES, OVERLAP_FRAMES = 17, 16, 16

SHAPES = {"32 clips": (1,) * 32, "4 films of 8": (8,) * 4, "1 film of 12": (12,)}
"""The chunks of each film: every chunk after the first extends the one before it."""


@dataclass(frozen=True, slots=True)
class Workload:
    """A film for each of `lengths`, of so many chained chunks.

    `times` are seconds that the stages sleep; None renders the bundled model. `size` is width and
    height in pixels.
    """

    lengths: tuple[int, ...]
    times: StageTimes | None = SLEEPS
    size: int = 64

    def document(self, out: Path) -> dict[str, Any]:
        """The job spec; films go to `out`."""
        engine = {"engine": {"name": "fake", "fake": _sleeps(self.times)}} if self.times else {}
        refined = {"upscale": {"steps": 2, "denoise": 0.5}} if _has_upscale(self.times) else {}
        return {
            "version": 1,
            "name": "bench",
            "defaults": {"width": self.size, "height": self.size, "steps": 4, "attention_mode": "default"},
            "videos": [
                {"name": name, "chunks": _chunks(length)}
                for name, length in zip(self.names(), self.lengths, strict=True)
            ],
            "output": {"dir": str(out)},
            "run": {"threads": 1},
            **engine,
            **refined,
        }

    def names(self) -> list[str]:
        """The videos."""
        return [f"film{number}" for number in range(len(self.lengths))]

    def bound_s(self, topology: str = STAGED) -> float:
        """What no schedule can beat on these workers, of sleeping stages."""
        assert self.times is not None
        some = [
            SimulatedFilm(name, length, self.times, joint="overlap")
            for name, length in zip(self.names(), self.lengths, strict=True)
        ]
        return job_facts(job(some)).bound(parse_topology(topology, Machine(float("inf")))).seconds


def _sleeps(times: StageTimes) -> dict[str, float]:
    return {"sample_s": times.sample_s, "upscale_s": times.upscale_s, "decode_s": times.decode_s}


def _has_upscale(times: StageTimes | None) -> bool:
    return times is None or times.upscale_s > 0


def _chunks(count: int) -> list[dict[str, Any]]:
    prompt = "a red ball moves right over a teal background"
    first = {"generate": {"prompt": prompt, "num_frames": FIRST_FRAMES}}
    more = {"prompt": prompt, "num_new_frames": MORE_FRAMES, "overlap_frames": OVERLAP_FRAMES}
    return [first, *({"extend": more} for _ in range(count - 1))]
